"""Vectors of whole numbers, whose dot products are exact.

A unit vector x is kept as `values` and one `scale`, x ≈ values · scale: an item's in -127..127, a request's, of d numbers,
in ±⌊2²⁴ / 127d⌋, so ±344 for d = 384. A sum of d products of such values stays below 2²⁴ and float32 holds every partial
sum without rounding: a score is the same bits in whatever order, batch or machine it is summed. The values are kept as
float32, because that is what the fast matrix routines read.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import repeat
from pathlib import Path
from typing import NamedTuple
from weakref import ref

import msgspec
import numpy as np
from numpy.typing import NDArray

from ranker.errors import BundleError

Floats = NDArray[np.float32]
ITEM_LEVELS = 127
MAX_DIMENSION = 2**24 // ITEM_LEVELS**2
VECTORS, SCALES, IDS = "item_vectors.npy", "item_scales.npy", "item_ids.json"
BLOCK = 256
"""Rows that are gathered at a time: what the processor's second cache holds."""
SAME_SCALE, SAME_LEVEL = 1e-3, 1
"""By how much two vectors of one text may differ: in part of the scale, and in levels of a component."""
MAX_KEPT, MOST_KEPT, MAX_KEPT_FOR = 64 << 20, 10_000, 100_000
"""Bytes of scores that `ItemVectors` keeps, of how many requests, and for how large a catalogue."""


class Quantized(NamedTuple):
    """One vector: (d,) int16, little-endian, as bytes, and its scale."""

    values: bytes
    scale: float

    def floats(self) -> Floats:
        """The values as (d,) float32, ready for a product with `ItemVectors`."""
        return np.frombuffer(self.values, "<i2").astype(np.float32)


def quantize(vector: Floats, levels: int = ITEM_LEVELS) -> Quantized:
    """Quantize one vector (d,) symmetrically by its largest component. Raises ValueError if it is not finite."""
    largest = float(np.abs(vector).max())
    if not 0 < largest < float("inf"):
        raise ValueError(f"a vector whose largest component is {largest} has no direction")
    scale = largest / levels
    return Quantized(np.rint(vector / scale).astype("<i2").tobytes(), float(np.float32(scale)))


def quantize_request(vector: Floats) -> Quantized:
    """Quantize a request's vector (d,), as finely as exact products with items allow."""
    return quantize(vector, min(2**24 // (ITEM_LEVELS * len(vector)), 2**15 - 1))


class _Kept:
    """For how many rows a request was used, and its scores with the whole bundle once that has become worth while."""

    __slots__ = ("request", "rows", "scores")

    def __init__(self, request: "ref[Floats]") -> None:
        self.request, self.rows = request, 0  # the reference is held for what it does when the request goes
        self.scores: Floats | None = None


class ItemVectors:
    """The vectors of the catalogue, read from a bundle without copying, and those of items that came after it."""

    def __init__(self, ids: Sequence[str], values: Floats, scales: Floats) -> None:
        """`values` (n, d) float32 of whole numbers, `scales` (n,) float32, rows in the order of `ids`."""
        if not len(ids) == len(values) == len(scales):
            raise BundleError(f"{len(ids)} item ids, {len(values)} vectors and {len(scales)} scales do not match")
        if values.ndim != 2 or values.shape[1] > MAX_DIMENSION:
            raise BundleError(
                f"item vectors of shape {values.shape}: need two axes and at most {MAX_DIMENSION} columns"
            )
        self._index = {item_id: row for row, item_id in enumerate(ids)}
        self._values, self._scales, self._n = np.asarray(values), np.array(scales, np.float32), len(ids)
        self._late, self._late_scales = np.empty((0, values.shape[1]), np.int8), np.empty(0, np.float32)
        """Of late items, whose rows come after the bundle's; with room for more. Every process has its own: in bytes."""
        self._late_rows = 0
        self._free: list[int] = []
        self._replaced: dict[str, int] = {}
        """Row in the bundle of items that are not to be looked up there any more."""
        # One buffer for every gather: a fresh array of this size costs more in page faults than the copy itself.
        self._buffer = np.empty((BLOCK, values.shape[1]), np.float32)
        self._kept = OrderedDict[int, _Kept]()
        """By the identity of the request's values, and as long as those are in use; the one used last is the last."""
        self._most_kept = 0
        if 0 < len(ids) <= MAX_KEPT_FOR:
            self._most_kept = min(MAX_KEPT // (4 * (len(ids) + values.shape[1])), MOST_KEPT)

    @classmethod
    def load(cls, folder: Path) -> "ItemVectors":
        """Map the vectors in `folder` into memory. Raises BundleError naming the file that cannot be read."""
        try:
            ids = msgspec.json.decode((folder / IDS).read_bytes(), type=list[str])
            return cls(ids, np.load(folder / VECTORS, mmap_mode="r"), np.load(folder / SCALES))
        except (OSError, ValueError, msgspec.DecodeError) as error:
            raise BundleError(f"item vectors in {folder}: {error}") from error

    @staticmethod
    def save(folder: Path, ids: Sequence[str], vectors: Iterable[Quantized]) -> None:
        """Write `vectors` in the order of `ids`."""
        rows = list(vectors)
        np.save(folder / VECTORS, np.stack([row.floats() for row in rows]))
        np.save(folder / SCALES, np.array([row.scale for row in rows], np.float32))
        (folder / IDS).write_bytes(msgspec.json.encode(list(ids)))

    @property
    def dimension(self) -> int:
        return int(self._values.shape[1])

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._index

    def rows(self, item_ids: Sequence[str] | NDArray[np.object_]) -> NDArray[np.intp]:
        """Row of each item (n,), -1 where it has no vector."""
        return np.fromiter(map(self._index.get, item_ids, repeat(-1)), np.intp, len(item_ids))

    def scores(self, rows: NDArray[np.intp], values: Floats) -> Floats:
        """Dot product of a quantized request, (d,), with the items of `rows`, (n,), all >= 0: (n,) float32.

        Times the request's own scale this is the cosine; the order needs no such factor.
        """
        products = np.empty(len(rows), np.float32)
        for first in range(0, len(rows), BLOCK):
            some = rows[first : first + BLOCK]
            gathered = self._values.take(some, 0, self._buffer[: len(some)], "clip")  # (BLOCK, d)
            np.matmul(gathered, values, products[first : first + BLOCK])  # (BLOCK, d) @ (d,) -> (BLOCK,)
        products *= self._scales.take(rows, mode="clip")
        self._score_late(rows, values, products)
        return products

    def scores_of_run(
        self, rows: NDArray[np.intp], requests: Sequence[Floats | None], spans: Sequence[slice]
    ) -> Floats:
        """The same for a run of lists, `rows[spans[i]]` for `requests[i]`; -inf where that is None.

        A row of -1 is allowed here, and its score means nothing.

        To gather a row costs as much as to go through four in order. So once a request has been used for a quarter as
        many rows as the catalogue has, its scores with all of the catalogue are kept, and looked up from then on.
        """
        scores = np.empty(len(rows), np.float32)
        for values, span, kept in zip(requests, spans, self._kept_scores(requests, spans), strict=True):
            if values is None:
                scores[span] = -np.inf
            elif kept is None:
                scores[span] = self.scores(rows[span], values)
            else:
                kept.take(rows[span], 0, scores[span], "clip")
                self._score_late(rows[span], values, scores[span])
        return scores

    def _score_late(self, rows: NDArray[np.intp], values: Floats, scores: Floats) -> None:
        """Replace what `scores` has for late items: they may change."""
        if len(self._late) and len(late := (rows >= self._n).nonzero()[0]):
            places = rows[late] - self._n
            scores[late] = (self._late[places].astype(np.float32) @ values) * self._late_scales[places]

    def _kept_scores(self, requests: Sequence[Floats | None], spans: Sequence[slice]) -> list[Floats | None]:
        """The scores (n,) that are kept for each request, which is used for so many rows more now."""
        if not self._most_kept:
            return [None] * len(requests)
        of_run = [
            None if values is None else self._used(values, span.stop - span.start)
            for values, span in zip(requests, spans, strict=True)
        ]
        due = {
            id(values): (values, kept)
            for values, kept in zip(requests, of_run, strict=True)
            if values is not None and kept and kept.scores is None and kept.rows * 4 >= self._n
        }
        if due:
            products = np.stack([values for values, _ in due.values()]) @ self._values.T  # (m, d) @ (d, n) -> (m, n)
            for (_, kept), product in zip(due.values(), products, strict=True):
                kept.scores = product * self._scales
        return [kept.scores if kept else None for kept in of_run]

    def _used(self, values: Floats, rows: int) -> "_Kept":
        all_kept, key = self._kept, id(values)
        kept = all_kept.get(key)
        if kept is None:
            # Gone with the request: each time that a partition changes hands, its readers' requests are read anew.
            kept = all_kept[key] = _Kept(ref(values, lambda _: all_kept.pop(key, None)))
            if len(all_kept) > self._most_kept:
                all_kept.popitem(last=False)
        else:
            all_kept.move_to_end(key)
        kept.rows += rows
        return kept

    @property
    def late(self) -> int:
        """How many items have a vector that is not the bundle's."""
        return self._late_rows - len(self._free)

    def is_late(self, item_id: str) -> bool:
        """Whether it is one of them."""
        return self._index.get(item_id, -1) >= self._n

    def would_grow(self, item_id: str, vector: Quantized) -> bool:
        """Whether `put` would add to the late items."""
        return not self.is_late(item_id) and not self._is_bundled(item_id, vector)

    def _is_bundled(self, item_id: str, vector: Quantized) -> bool:
        """Whether the bundle has this vector of the item, as near as another kind of processor makes it of the same text."""
        row = self._replaced.get(item_id, self._index.get(item_id, -1))
        if not 0 <= row < self._n or abs(self._scales[row] - vector.scale) > SAME_SCALE * vector.scale:
            return False
        return bool(np.abs(self._values[row] - vector.floats()).max() <= SAME_LEVEL)

    def put(self, item_id: str, vector: Quantized) -> None:
        """Add an item, or replace its vector; one that the bundle has takes no memory. Raises ValueError for a vector that
        does not belong among these."""
        values = vector.floats()
        if len(values) != self.dimension:
            raise ValueError(f"a vector of {len(values)} components among those of {self.dimension}")
        if np.abs(values).max() > ITEM_LEVELS:
            raise ValueError(f"a vector with components beyond {ITEM_LEVELS}")
        row = self._index.get(item_id, -1)
        if self._is_bundled(item_id, vector):
            if row >= self._n:
                self._free.append(row)
            self._index[item_id] = self._replaced.pop(item_id, row)
            return
        if row < self._n:  # unknown, or in the read-only part
            if row >= 0:
                self._replaced[item_id] = row
            row = self._free.pop() if self._free else self._new_row()
        self._late[row - self._n] = values
        self._late_scales[row - self._n] = vector.scale
        self._index[item_id] = row

    def vector(self, item_id: str) -> Quantized | None:
        """The vector of an item, if it has one."""
        if (row := self._index.get(item_id, -1)) < 0:
            return None
        late = row - self._n
        values, scale = (
            (self._values[row], self._scales[row]) if late < 0 else (self._late[late], self._late_scales[late])
        )
        return Quantized(values.astype("<i2").tobytes(), float(scale))

    def _new_row(self) -> int:
        row = self._late_rows
        if row == len(self._late):  # twice the room, so that each vector is copied twice at most, on average
            more = max(64, row)
            self._late = np.concatenate([self._late, np.empty((more, self.dimension), np.int8)])
            self._late_scales = np.concatenate([self._late_scales, np.empty(more, np.float32)])
        self._late_rows += 1
        return self._n + row

    def remove(self, item_id: str) -> None:
        """Forget an item; nothing happens if it is not known."""
        row = self._index.pop(item_id, -1)
        if row >= self._n:
            self._free.append(row)
        elif row >= 0:
            self._replaced[item_id] = row
