"""Lists of any lengths, laid end to end in flat arrays, so that numpy is called once a run and not once a list.

What is computed here for an entry depends on its own list alone, to the last bit: lists may be put together as one likes.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

Order = NDArray[np.intp]
Flags = NDArray[np.bool_]
Scores = NDArray[np.float32] | NDArray[np.float64]

MAX_ENTRIES = 1 << 20
"""In all lists together: a key of `ranker.fusion` is a position, a weight of 20 binary digits and a position again."""
BLOCK = 2048
"""So many bytes of whole numbers numpy sorts in the processor's registers; beyond, merging such blocks is faster."""
_POSITIONS = np.arange(1 << 16)
_POSITIONS.flags.writeable = False


class Spans:
    """Where each list lies. A position is one in the flat arrays, 0..size-1; a list has at least one entry."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = lengths
        self.ends = list(accumulate(lengths))
        self.starts = [0, *self.ends[:-1]]
        self.slices = list(map(slice, self.starts, self.ends))
        self.size = self.ends[-1]
        self.positions: Order = _POSITIONS[: self.size] if self.size <= len(_POSITIONS) else np.arange(self.size)
        """(size,) 0, 1, ..., not to be written to."""
        self.radix = 1 << self.size.bit_length()
        """A position is less than this power of two."""

    def __len__(self) -> int:
        return len(self.slices)

    def spread(self, values: Sequence[Any] | NDArray[Any]) -> Any:
        """Each list's number for each of its entries: (size,), or for a single list the number itself."""
        return values[0] if len(self) == 1 else np.repeat(values, self.lengths)

    def holding(self, flags: Flags) -> list[int]:
        """The lists with a flag; flag i of (size - 1,) is about the entries i and i + 1 of one list."""
        if len(self) > 1:
            flags[np.array(self.ends[:-1]) - 1] = False
        if not flags.any():
            return []
        return sorted(set(np.searchsorted(self.ends, flags.nonzero()[0], "right").tolist()))

    def sort(self, entries: NDArray[Any]) -> None:
        """Sort the entries of each list, in place. Where equal ones come to stand is not defined."""
        block = BLOCK // entries.itemsize
        for span in self.slices:
            if span.stop - span.start <= block:
                entries[span].sort()
                continue
            for start in range(span.start, span.stop, block):
                entries[start : min(start + block, span.stop)].sort()
            entries[span].sort(kind="stable")  # which merges what is sorted already

    def order(self, keys: NDArray[np.int64]) -> Order:
        """Positions (size,) by ascending key within each list. A key is a multiple of `radix` plus its own position, so
        that ties are settled by position, and sorting the keys alone gives the order. The array is used up."""
        self.sort(keys)
        keys &= self.radix - 1
        return keys

    def descending(self, scores: Scores) -> Order:
        """Positions (size,) by descending score within each list, ties by position; NaN at either end."""
        down = 0.0 - scores  # unlike -scores, this makes one zero of the two
        if down.dtype == np.float32:
            keys = _sortable(down.view(np.int32), 31).astype(np.int64)
            keys *= self.radix
            keys += self.positions
            return self.order(keys)
        keys = _sortable(down.view(np.int64), 63)
        keys &= -self.radix  # the position takes the place of the last few digits ...
        keys |= self.positions
        order = self.order(keys)
        ordered = down[order]
        for unsorted in self.holding(ordered[1:] < ordered[:-1]):  # ... and where those mattered,
            span = self.slices[unsorted]
            order[span] = down[span].argsort(kind="stable") + span.start
        return order


def _sortable(bits: NDArray[Any], digits: int) -> NDArray[Any]:
    """The bits of floats, a sign and so many `digits`, as whole numbers of the same order."""
    flipped = bits >> digits
    flipped &= (1 << digits) - 1
    flipped ^= bits
    return flipped
