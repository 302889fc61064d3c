"""The head of the request tower: what a request wants, read off every layer of the encoder at once.

Lower layers still hold the single words and upper ones what they amount to; a refusal needs both, the "no" and what it is
about. The layers' means and extremes cost nothing beyond the pass that is made anyway, so that a head can be taught on
tens of thousands of requests in the time that fine-tuning takes for a few thousand.

A request amounts to Σ_k tanh(g_k) · u_k over a few slots: each names a direction u_k among the items, and how far it is
wanted (1) or refused (-1). So what is learned of saying no to one thing holds for all things. Between yes and no the sum is
short, and bringing it to unit length would blow up the last digits of what was read; so a fixed vector is added along which
the items hardly differ. It changes next to no order, and a request that was only half understood moves scores half as far.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ranker.errors import DataError

WIDTH, GATE_WIDTH, SLOTS = 512, 256, 4
FILE = "head.safetensors"
DROPOUT = 0.2
WANTED = 0.5
"""What a gate begins with, before tanh: were it 0, neither gates nor directions would have a slope to learn on."""
NEUTRAL = 3.5
"""The length of the fixed vector, in medians of the sum's. Without it the worst of 250 requests has a cosine of 0.93 to itself
through an 8-bit encoder, with it 0.996, at a cost of 0.006 of AUC."""
NEUTRAL_DIRECTIONS, NEUTRAL_TRIES = 32, 200


class Head(nn.Module):
    """(n, features) to (n, d), not of unit length."""

    def __init__(
        self, features: int, dimension: int, width: int = WIDTH, gate_width: int = GATE_WIDTH, slots: int = SLOTS
    ) -> None:
        super().__init__()
        self.inner = nn.Linear(features, width + gate_width)
        self.outer = nn.Linear(width, slots * dimension)
        self.gate = nn.Linear(gate_width, slots)
        nn.init.constant_(self.gate.bias, WANTED)
        self.neutral = nn.Parameter(torch.zeros(dimension), requires_grad=False)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, features: Tensor) -> Tensor:
        """(n, features) -> (n, d)."""
        activity = self.dropout(nn.functional.gelu(self.inner(features)))
        named, gated = activity.split([self.outer.in_features, self.gate.in_features], dim=1)
        gates = torch.tanh(self.gate(gated)).unsqueeze(1)  # (n, 1, slots)
        directions = self.outer(named).unflatten(1, (self.gate.out_features, -1))  # (n, slots, d)
        wanted: Tensor = (gates @ directions).squeeze(1) + self.neutral
        return wanted

    @torch.no_grad()
    def add_neutral(self, features: Tensor, items: Tensor) -> None:
        """Set the fixed vector by what this head makes of `features` (n, features), and by the `items` (m, d) as they lie."""
        _, directions = torch.linalg.eigh(torch.cov(items.T.double()))  # by ascending variance, in columns
        least = directions[:, : min(NEUTRAL_DIRECTIONS, max(1, len(directions) // 4))].float()
        # As flat as it can be: what stands out in one component would cost all others their resolution once quantized.
        signs = torch.randn(NEUTRAL_TRIES, len(least), generator=torch.Generator().manual_seed(0)).sign()
        tries = nn.functional.normalize(signs @ least @ least.T, dim=1)  # (tries, d)
        flattest = tries[tries.abs().amax(dim=1).argmin()]
        self.neutral.copy_(flattest * NEUTRAL * self(features).norm(dim=1).median())

    def save(self, directory: Path) -> None:
        """Write the weights beside the encoder's."""
        save_file(self.state_dict(), str(directory / FILE))

    @classmethod
    def load(cls, directory: Path) -> "Head | None":
        """The head that lies beside an encoder, or None where there is none."""
        if not (directory / FILE).is_file():
            return None
        weights = load_file(str(directory / FILE))
        if "gate.weight" not in weights:
            raise DataError(f"{directory / FILE}: a head of another version; `ctrlrec train` makes one anew")
        slots, gate_width = weights["gate.weight"].shape
        outputs, width = weights["outer.weight"].shape
        head = cls(weights["inner.weight"].shape[1], outputs // slots, width, gate_width, slots)
        head.load_state_dict(weights)
        return head.eval()

    @torch.no_grad()
    def absorb(self, mean: Tensor, deviation: Tensor) -> None:
        """Take features as they are, after learning from (features - mean) / deviation."""
        self.inner.bias.sub_(self.inner.weight @ (mean / deviation))
        self.inner.weight.div_(deviation)


def pooled(hidden: tuple[Tensor, ...], mask: Tensor | None, head: Head | None) -> Tensor:
    """(n, d) unit vectors from the (n, length, d) of every layer, the embeddings first; `mask` (n, length) hides padding.

    Without a head, the mean over the last layer's tokens.
    """
    if head is None:
        return nn.functional.normalize(_mean(hidden[-1], mask), dim=-1)
    return nn.functional.normalize(head(layer_features(hidden, mask)).float(), dim=-1)


def layer_features(hidden: tuple[Tensor, ...], mask: Tensor | None) -> Tensor:
    """(n, features) float32, each part of unit length: the mean of each layer over the tokens; of every second layer the
    largest and the smallest value of each column; of the middle and the last layer the first token."""
    layers = hidden[1:]
    last, middle = layers[-1], layers[len(layers) // 2]
    parts = [_mean(layer, mask) for layer in layers] + [last[:, 0].float(), middle[:, 0].float()]
    for layer in layers[1::2]:
        parts += [_largest(layer, mask), _largest(-layer, mask)]
    return torch.cat([nn.functional.normalize(part, dim=-1) for part in parts], dim=1)


def _largest(layer: Tensor, mask: Tensor | None) -> Tensor:
    if mask is not None:
        layer = layer.masked_fill(mask.unsqueeze(-1) == 0, float("-inf"))
    return layer.amax(dim=1).float()


def _mean(layer: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return layer.float().mean(dim=1)
    weights = mask.unsqueeze(-1).float()
    return (layer.float() * weights).sum(dim=1) / weights.sum(dim=1)  # (n, length, d) -> (n, d)
