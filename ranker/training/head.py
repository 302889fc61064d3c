"""The head of the request tower: what a request wants, read off every layer of the encoder at once.

Lower layers still hold the single words and upper ones what they amount to; a refusal needs both, the "no" and what it is
about. The layers' means cost nothing beyond the pass that is made anyway, so that a head can be taught on tens of thousands
of requests in the time that fine-tuning takes for a few thousand.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

WIDTH = 512
FILE = "head.safetensors"


class Head(nn.Module):
    """(n, features) to (n, d): one hidden layer."""

    def __init__(self, features: int, dimension: int, width: int = WIDTH) -> None:
        super().__init__()
        self.inner = nn.Linear(features, width)
        self.outer = nn.Linear(width, dimension)

    def forward(self, features: Tensor) -> Tensor:
        """(n, features) -> (n, d), not of unit length."""
        activity: Tensor = self.outer(nn.functional.gelu(self.inner(features)))
        return activity

    def save(self, directory: Path) -> None:
        """Write the weights beside the encoder's."""
        save_file(self.state_dict(), str(directory / FILE))

    @classmethod
    def load(cls, directory: Path) -> "Head | None":
        """The head that lies beside an encoder, or None where there is none."""
        if not (directory / FILE).is_file():
            return None
        weights = load_file(str(directory / FILE))
        width, features = weights["inner.weight"].shape
        head = cls(features, len(weights["outer.weight"]), width)
        head.load_state_dict(weights)
        return head

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
    """(n, features) float32: each layer's mean over the tokens, and the first token of the middle and the last layer."""
    layers = hidden[1:]
    parts = [_mean(layer, mask) for layer in layers] + [
        layers[-1][:, 0].float(),
        layers[len(layers) // 2][:, 0].float(),
    ]
    return torch.cat([nn.functional.normalize(part, dim=-1) for part in parts], dim=1)


def _mean(layer: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return layer.float().mean(dim=1)
    weights = mask.unsqueeze(-1).float()
    return (layer.float() * weights).sum(dim=1) / weights.sum(dim=1)  # (n, length, d) -> (n, d)
