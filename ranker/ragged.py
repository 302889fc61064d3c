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

_POSITIONS = np.arange(1 << 16)
_POSITIONS.flags.writeable = False


class Spans:
    """Where each list lies. A position is one in the flat arrays, 0..size-1; a list has at least one entry."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = lengths
        self.ends = np.array(list(accumulate(lengths)), np.intp)
        self.starts = self.ends - lengths
        self.slices = list(map(slice, self.starts.tolist(), self.ends.tolist()))
        self.size = sum(lengths)
        self.digits = self.size.bit_length()
        """Binary digits of a position."""
        self.positions: Order = _POSITIONS[: self.size] if self.size <= len(_POSITIONS) else np.arange(self.size)
        """(size,) 0, 1, ..., not to be written to."""

    def __len__(self) -> int:
        return len(self.slices)

    def spread(self, values: Sequence[float] | NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
        """Each list's value for each of its entries: (size,), or (1,) for a single list, which broadcasts."""
        each = np.asarray(values, dtype)
        return each if len(self) == 1 else each.repeat(self.lengths)

    def count(self, flags: Flags) -> list[int]:
        """How many entries of each list are flagged."""
        if not flags.any():
            return [0] * len(self)
        return np.add.reduceat(flags, self.starts, dtype=np.intp).tolist()  # type: ignore[no-any-return]

    def where(self, flags: Flags) -> list[int]:
        """The lists that have a flag; flag i of (size - 1,) is about the entries i and i + 1 of one list."""
        if len(self) > 1:
            flags[self.ends[:-1] - 1] = False
        if not flags.any():
            return []
        return sorted(set(self.ends.searchsorted(flags.nonzero()[0], "right").tolist()))

    def sort(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Sort the entries of each list, in place; one list at a time fits into the processor's first cache."""
        for place in self.slices:
            keys[place].sort()
        return keys

    def order(self, keys: NDArray[np.int64]) -> Order:
        """Positions (size,) by ascending key within each list, ties by position.

        The lowest `digits` of `keys` must be zero: the position goes there, so that sorting the keys alone gives the
        order. The array is used up.
        """
        keys |= self.positions
        self.sort(keys)
        keys &= (1 << self.digits) - 1
        return keys

    def descending(self, scores: NDArray[np.float32] | NDArray[np.float64]) -> Order:
        """Positions (size,) by descending score within each list, ties by position, NaN last."""
        down = 0.0 - scores  # unlike -scores, this makes one zero of the two
        down[down != down] = np.inf
        if down.dtype == np.float32:
            return self.order(_sortable(down.view(np.int32)).astype(np.int64) << self.digits)
        # Here the position takes the place of the last few digits. Lists in which those mattered are sorted anew.
        order = self.order(_sortable(down.view(np.int64)) & -(1 << self.digits))
        ordered = down[order]
        for unsorted in self.where(ordered[1:] < ordered[:-1]):
            place = self.slices[unsorted]
            order[place] = down[place].argsort(kind="stable") + place.start
        return order


def _sortable(bits: NDArray[Any]) -> NDArray[Any]:
    """The bits of floats, as whole numbers of the same order."""
    info = np.iinfo(bits.dtype)
    return bits ^ ((bits >> (info.bits - 1)) & info.max)
