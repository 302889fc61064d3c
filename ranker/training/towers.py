"""The towers as torch modules: a transformer encoder, then the mean over its tokens or a head, unit length."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AutoModel
from transformers.utils import logging

from ranker.errors import DataError
from ranker.training.head import Head, Reading, pooled, read_layers

MAX_LENGTH = 64
"""Tokens after which a text is cut. MiniLM reads more, but the towers are not trained on longer texts."""

HALF = bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
"""Whether the processor multiplies bfloat16 itself; it halves a step there, and doubles it anywhere else."""
PARTS, SMALLEST_PART = 3, 12
ATTENTION = SDPBackend.MATH
"""In training: over so few tokens the fused kernel's way back takes a third of a step, plain products next to nothing."""


class Tower(nn.Module):
    """Texts to unit vectors. The request tower and the item tower are two of these, from the same backbone."""

    def __init__(self, encoder: nn.Module, tokenizer: Tokenizer, head: Head | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.head = head
        self.dimension = int(cast(Any, encoder.config).hidden_size)
        self._frozen: dict[str, Tensor] = {}

    @classmethod
    def load(cls, directory: Path) -> "Tower":
        """A tower from a directory with the encoder and `tokenizer.json`. Raises DataError where one is missing."""
        return cls(load_encoder(directory), load_tokenizer(directory / "tokenizer.json"), Head.load(directory))

    def freeze(self, layers: int) -> None:
        """Leave the table of words, which is half of all weights, and the first `layers` layers as they are.

        Raises DataError where nothing would be left to train.
        """
        encoder = cast(Any, self.encoder)
        if len(encoder.encoder.layer) <= layers:
            raise DataError(f"the backbone has {len(encoder.encoder.layer)} layers; training needs more than {layers}")
        encoder.embeddings.requires_grad_(False)
        encoder.encoder.layer[:layers].requires_grad_(False)
        if HALF:  # once, not in every step: the table of words is the larger half
            self._frozen = {
                name: each.bfloat16() for name, each in encoder.named_parameters() if not each.requires_grad
            }

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut at MAX_LENGTH, not padded."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]

    def forward(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """(n, d) float32 unit vectors of n token lists, padded to the longest of them."""
        return pooled(*self._hidden(tokens), self.head)

    def reader(self) -> "Tower":
        """A copy to read many texts with: in half precision where that is faster."""
        encoder = copy.deepcopy(self.encoder)
        return Tower(encoder.to(torch.bfloat16) if HALF else encoder, self.tokenizer).eval()

    @torch.inference_mode()
    def read(self, texts: Sequence[str], batch: int = 64) -> Iterator[tuple[list[int], Reading]]:
        """What a head reads of the texts, some at a time: their rows, and the reading. Texts of like length go together."""
        tokens = self.tokenize(texts)
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            yield rows, read_layers(*self._hidden([tokens[row] for row in rows]))

    def _hidden(
        self, tokens: Sequence[Sequence[int]], weights: dict[str, Tensor] | None = None
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """The (n, length, d) of every layer, the embeddings first, and the mask (n, length); by the encoder's own weights or
        by these in their place."""
        ids, mask = pad(tokens)
        inputs = {"input_ids": ids, "attention_mask": mask, "output_hidden_states": True}
        return functional_call(self.encoder, weights or {}, (), inputs).hidden_states, mask

    def in_parts(self, tokens: Sequence[Sequence[int]]) -> tuple[Tensor, list[int]]:
        """(n, d) vectors in order of length, and that order, for training: in half precision where that is faster."""
        parts, order = self._parts(tokens)
        return torch.cat([pooled(*part, self.head) for part in parts]), order

    def understood_in_parts(self, tokens: Sequence[Sequence[int]]) -> tuple[tuple[Tensor, Tensor], list[int]]:
        """Likewise, what the head makes of them: (n, 2, d) directions and (n, 2) logits, see `Head.understood`."""
        assert self.head is not None
        parts, order = self._parts(tokens)
        with torch.autocast("cpu", torch.bfloat16, enabled=HALF):
            understood = [self.head.understood(read_layers(*part)) for part in parts]
        directions, sides = (torch.cat(each).float() for each in zip(*understood, strict=True))
        return (directions, sides), order

    def _parts(self, tokens: Sequence[Sequence[int]]) -> tuple[list[tuple[tuple[Tensor, ...], Tensor]], list[int]]:
        """What `_hidden` gives of the token lists in order of length, some at a time, and that order: short ones are not padded
        to the longest. Every weight is halved once for all of them, which is a fifth faster than to cast what goes into
        each layer, as autocast does."""
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        size = max(-(-len(order) // PARTS), SMALLEST_PART)
        weights = None
        if HALF:
            weights = self._frozen | {
                name: each.bfloat16() for name, each in self.encoder.named_parameters() if each.requires_grad
            }
        with sdpa_kernel(ATTENTION):
            parts = [
                self._hidden([tokens[row] for row in order[start : start + size]], weights)
                for start in range(0, len(order), size)
            ]
        return parts, order

    @torch.inference_mode()
    def embed(self, texts: Sequence[str], batch: int = 128) -> NDArray[np.float32]:
        """(n, d) unit vectors of n texts; texts of like length go together, so that little is padded."""
        tokens = self.tokenize(texts)
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        vectors = np.zeros((len(tokens), self.dimension), dtype=np.float32)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            vectors[rows] = self([tokens[row] for row in rows]).numpy()
        return vectors


def load_encoder(directory: Path) -> nn.Module:
    """The encoder that lies in a directory, without a pooling head."""
    if not (directory / "config.json").is_file():
        raise DataError(f"{directory}: no backbone there (no config.json); `ctrlrec data` downloads one")
    try:
        encoder = cast(Any, AutoModel.from_pretrained(directory, add_pooling_layer=False, local_files_only=True))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{directory}: the backbone cannot be loaded: {error}") from error
    if not hasattr(encoder, "embeddings") or not hasattr(getattr(encoder, "encoder", None), "layer"):
        raise DataError(
            f"{directory}: {type(encoder).__name__} is not built like BERT, RoBERTa or MPNet; take one that is"
        )
    return cast(nn.Module, encoder)


def load_tokenizer(path: Path) -> Tokenizer:
    """A fast tokenizer that cuts at MAX_LENGTH and does not pad."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; a backbone needs a fast tokenizer")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    return tokenizer


def pad(tokens: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """(n, length) ids and mask, int64, of n token lists; id 0 fills up, which the mask hides."""
    length = max(len(row) for row in tokens)
    ids = torch.zeros(len(tokens), length, dtype=torch.int64)
    mask = torch.zeros(len(tokens), length, dtype=torch.int64)
    for number, row in enumerate(tokens):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    return ids, mask


def set_threads(count: int) -> None:
    """How many threads torch computes with; 0 leaves it one a core."""
    if count:
        torch.set_num_threads(count)


def quiet() -> None:
    """Keep transformers from reporting the pooling head that the towers do without."""
    logging.set_verbosity_error()
