"""Readings of many texts, kept for a head to be taught on: tokens without padding, in half precision."""

import random
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ranker.training.head import Reading

LENGTH_JITTER = 2.0
"""In tokens: how far the lengths of the texts of one batch may lie apart, so that batches differ from round to round."""


class Readings:
    """Grows text by text; gives readings of any of them."""

    def __init__(self) -> None:
        self._tokens: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._tokens)

    def append(self, read: Reading) -> None:
        """Keep what was read of some texts."""
        lengths = read.mask.sum(dim=1).int().tolist()
        self._tokens += [row[:length].bfloat16() for row, length in zip(read.tokens, lengths, strict=True)]

    def packed(self, start: int) -> dict[str, Tensor]:
        """Those of the texts from `start` on as two tensors, to be kept on the disk."""
        tokens = self._tokens[start:]
        return {"tokens": torch.cat(tokens), "lengths": torch.tensor([len(each) for each in tokens])}

    def extend(self, packed: dict[str, Tensor]) -> None:
        """Take in what was packed."""
        self._tokens += packed["tokens"].split(packed["lengths"].tolist())

    def of(self, rows: Sequence[int]) -> Reading:
        """The reading of these texts, padded to the longest of them."""
        tokens = nn.utils.rnn.pad_sequence([self._tokens[row] for row in rows], batch_first=True).float()
        lengths = torch.tensor([len(self._tokens[row]) for row in rows])
        mask = (torch.arange(tokens.shape[1]) < lengths.unsqueeze(1)).float()  # (t,) < (n, 1) -> (n, t)
        return Reading(tokens, mask)

    def sample(self, count: int) -> Tensor:
        """(m, f) tokens of the first `count` texts."""
        return torch.cat(self._tokens[:count]).float()

    def batches(self, size: int, seed: int) -> Iterator[list[int]]:
        """Rows of texts of about one length, all of them in a new order each time round, without end."""
        shuffle = random.Random(seed)
        while True:
            keys = [len(tokens) + shuffle.random() * LENGTH_JITTER for tokens in self._tokens]
            order = sorted(range(len(keys)), key=keys.__getitem__)
            batches = [order[start : start + size] for start in range(0, len(order), size)]
            shuffle.shuffle(batches)
            yield from batches
