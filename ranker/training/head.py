"""The head of the request tower: what a request wants and what it refuses, read off its tokens in three layers at once.

Lower layers still hold the single words and upper ones what they amount to; a refusal needs both, the "no" and what it is
about. What they hold costs nothing beyond the pass that is made anyway, so that a head can be taught on tens of thousands
of requests in the time that fine-tuning takes for a few thousand.

Of each token it asks two things: whether it names what the request is about, and whether what it stands for is wanted or
refused. A request amounts to p₊·u₊ - p₋·u₋: two unit directions among the items, that of what is wanted and that of what is
refused, each found by looking at the tokens that name something and are on its side, times the chance that there is such a
thing at all, as these tokens say. Nothing is read off the text as a whole: it would be learned as one yes or no, and a text
that says both would be heard as one of them. A direction is what the encoder itself makes of the tokens looked at, and where
they lie in the subspace of the judged facts, which is what a head learns: words that no training had keep the meaning that
the encoder gives them. A request about one thing has both directions the same, so that things are named alike whether they
are wanted or not. No request says neither.

Between yes and no the sum is short, and bringing it to unit length would blow up the last digits of what was read; so a fixed
vector is added along which neither items nor other texts differ much. It changes next to no order, and a request half
understood moves scores half as far.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ranker.errors import DataError

WIDTH, SIDE_WIDTH, ATTENTION_WIDTH = 512, 256, 128
FILE = "head.safetensors"
DROPOUT = 0.2
NOISE = 0.3
"""In standard deviations; an 8-bit encoder is off by a few hundredths. Without it, and without a floor under the deviations,
a head hangs on differences that such an encoder does not keep."""
NOISE_POOL = 2048
NEUTRAL = 1.0
"""The length of the fixed vector, in medians of the sum's. The longer, the nearer the worst request lies to itself through an
8-bit encoder (`ctrlrec export` prints that cosine), and the less of the vector is left to tell items apart."""
NEUTRAL_DIRECTIONS, NEUTRAL_TRIES = 32, 200


class Reading(NamedTuple):
    """What a head reads of n texts. Token rows beyond a text's own are hidden by `mask`."""

    tokens: Tensor
    """(n, t, f) of three layers."""
    mask: Tensor
    """(n, t), 1 where there is a token."""


class Head(nn.Module):
    """A reading to (n, d), not of unit length."""

    mean: Tensor
    deviation: Tensor
    neutral: Tensor
    facts: Tensor

    def __init__(
        self,
        tokens: int,
        facts: Tensor,
        width: int = WIDTH,
        side_width: int = SIDE_WIDTH,
        attention_width: int = ATTENTION_WIDTH,
    ) -> None:
        """`tokens` is the width f of a reading; `facts` (k, d) orthonormal directions."""
        super().__init__()
        self.names = nn.Sequential(nn.Linear(tokens, attention_width), nn.GELU(), nn.Linear(attention_width, 1))
        self.wants = nn.Sequential(
            nn.Linear(tokens, side_width), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(side_width, 1)
        )
        self.named = nn.Sequential(
            nn.Linear(tokens, width), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(width, len(facts) + 1)
        )
        self.register_buffer("mean", torch.zeros(tokens))
        self.register_buffer("deviation", torch.ones(tokens))
        self.register_buffer("facts", facts)
        self.register_buffer("neutral", torch.zeros(facts.shape[1]))
        self._noise: Tensor | None = None

    def forward(self, read: Reading) -> Tensor:
        """n texts -> (n, d)."""
        directions, sides = self.understood(read)
        return amounts_to(directions, sides) + self.neutral

    def understood(self, read: Reading) -> tuple[Tensor, Tensor]:
        """(n, 2, d) unit directions and (n, 2) logits: what is wanted and what is refused, and whether anything is."""
        tokens = (read.tokens - self.mean) / self.deviation
        if self.training:
            tokens = tokens + NOISE * self._noise_like(tokens)
        naming = self.names(tokens).squeeze(-1) + (read.mask - 1) * 1e4  # (n, t)
        wanted = self.wants(tokens).squeeze(-1)  # (n, t)
        by_side = torch.stack([wanted, -wanted], dim=1)  # (n, 2, t)
        looks = (naming.unsqueeze(1) + by_side).softmax(dim=-1)
        sides = (looks * by_side).sum(dim=-1)  # (n, 2)
        seen = looks @ tokens  # (n, 2, t) @ (n, t, f) -> (n, 2, f)
        facts, heed = self.named(seen).split([len(self.facts), 1], dim=-1)  # (n, 2, k), (n, 2, 1)
        meant = nn.functional.normalize(looks @ read.tokens[..., -self.facts.shape[1] :], dim=-1)  # by the last layer
        return nn.functional.normalize(facts @ self.facts + torch.sigmoid(heed) * meant, dim=-1), sides

    def _noise_like(self, tokens: Tensor) -> Tensor:
        """Normal noise in this shape, its rows drawn from a pool: fresh for each step, it is a third of the step."""
        if self._noise is None:  # from a seed of its own: a training that is resumed has the same pool
            self._noise = torch.randn(NOISE_POOL, tokens.shape[-1], generator=torch.Generator().manual_seed(0))
        return self._noise[torch.randint(NOISE_POOL, tokens.shape[:-1])]

    @torch.no_grad()
    def standardise(self, tokens: Tensor) -> None:
        """Set the mean and the deviation by which tokens are standardised, from a sample (m, f)."""
        deviation, mean = torch.std_mean(tokens, dim=0)
        self.mean.copy_(mean)
        self.deviation.copy_(deviation.clamp(min=float(deviation.median()) + 1e-6))

    @torch.no_grad()
    def add_neutral(self, read: Reading, *pools: Tensor) -> None:
        """Set the fixed vector by what this head makes of some texts, and by what may be ranked: pools of items (m, d), each of
        which weighs the same."""
        _, directions = torch.linalg.eigh(
            torch.stack([torch.cov(pool.T.double()) for pool in pools]).sum(dim=0)
        )  # by ascending variance, in columns
        least = directions[:, : min(NEUTRAL_DIRECTIONS, max(1, len(directions) // 4))].float()
        # As flat as it can be: what stands out in one component would cost all others their resolution once quantized.
        signs = torch.randn(NEUTRAL_TRIES, len(least), generator=torch.Generator().manual_seed(0)).sign()
        tries = nn.functional.normalize(signs @ least @ least.T, dim=1)  # (tries, d)
        flattest = tries[tries.abs().amax(dim=1).argmin()]
        self.neutral.copy_(flattest * NEUTRAL * amounts_to(*self.understood(read)).norm(dim=1).median())

    def save(self, directory: Path) -> None:
        """Write the weights beside the encoder's."""
        save_file(self.state_dict(), str(directory / FILE))

    @classmethod
    def load(cls, directory: Path) -> "Head | None":
        """The head that lies beside an encoder, or None where there is none."""
        if not (directory / FILE).is_file():
            return None
        weights = load_file(str(directory / FILE))
        if "wants.0.weight" not in weights:
            raise DataError(f"{directory / FILE}: a head of another version; `ctrlrec train` makes one anew")
        attention_width, tokens = weights["names.0.weight"].shape
        width, side_width = len(weights["named.0.weight"]), len(weights["wants.0.weight"])
        head = cls(tokens, weights["facts"], width, side_width, attention_width)
        head.load_state_dict(weights)
        return head.eval()


def amounts_to(directions: Tensor, sides: Tensor) -> Tensor:
    """(n, 2, d) and logits (n, 2) -> (n, d): p₊·u₊ - p₋·u₋."""
    wanted, refused = torch.sigmoid(sides).unsqueeze(-1).unbind(dim=1)  # (n, 1) each
    return wanted * directions[:, 0] - refused * directions[:, 1]


def pooled(hidden: tuple[Tensor, ...], mask: Tensor | None, head: Head | None) -> Tensor:
    """(n, d) unit vectors from the (n, t, d) of every layer, the embeddings first; `mask` (n, t) hides padding.

    Without a head, the mean over the last layer's tokens.
    """
    if head is None:
        return nn.functional.normalize(_mean(hidden[-1], mask), dim=-1)
    return nn.functional.normalize(head(read_layers(hidden, mask)), dim=-1)


def read_layers(hidden: tuple[Tensor, ...], mask: Tensor | None) -> Reading:
    """Of each token three layers, at a third, at two thirds and at the end."""
    layers = hidden[1:]
    picked = layers[len(layers) // 3 - 1], layers[len(layers) * 2 // 3 - 1], layers[-1]
    tokens = torch.cat(picked, dim=-1).float()
    return Reading(tokens, torch.ones_like(tokens[:, :, 0]) if mask is None else mask.float())


def _mean(layer: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return layer.float().mean(dim=1)
    weights = mask.unsqueeze(-1).float()
    return (layer.float() * weights).sum(dim=1) / weights.sum(dim=1)  # (n, t, d) -> (n, d)
