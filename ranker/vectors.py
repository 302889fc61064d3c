"""Vectors of 8-bit whole numbers, whose dot products are exact.

A unit vector x is kept as `values` in -127..127 and one `scale`, x ≈ values · scale. A product of two such values is at
most 127², so a sum of up to 1,040 of them stays below 2²⁴ and float32 holds every partial sum without rounding: a score is
the same bits in whatever order, batch or machine it is summed. The values are stored as float32, because that is what
the fast matrix routines read.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ranker.errors import BundleError

Floats = NDArray[np.float32]
MAX_DIMENSION = 2**24 // 127**2
VECTORS, SCALES, IDS = "item_vectors.npy", "item_scales.npy", "item_ids.json"


class Quantized(NamedTuple):
    """One vector: (d,) int8 as bytes, and its scale."""

    values: bytes
    scale: float

    def floats(self) -> Floats:
        """The values as (d,) float32, ready for a product with `ItemVectors`."""
        return np.frombuffer(self.values, np.int8).astype(np.float32)


def quantize(vector: Floats) -> Quantized:
    """Quantize one vector (d,) symmetrically by its largest component. Raises ValueError if it is not finite."""
    largest = float(np.abs(vector).max())
    if not 0 < largest < float("inf"):
        raise ValueError(f"a vector whose largest component is {largest} has no direction")
    scale = largest / 127
    return Quantized(np.rint(vector / scale).astype(np.int8).tobytes(), float(np.float32(scale)))


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
        self._values, self._scales, self._n = values, np.array(scales, np.float32), len(ids)
        self._late = np.empty((0, values.shape[1]), np.float32)
        self._free: list[int] = []
        self._seen = np.empty(len(ids), np.intp)
        # One buffer for every gather: a fresh array of this size costs more in page faults than the copy itself.
        self._buffer = np.empty((256, values.shape[1]), np.float32)

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

    def rows(self, item_ids: Sequence[str]) -> NDArray[np.intp]:
        """Row of each item (n,), -1 where it has no vector."""
        return np.fromiter(map(self._index.get, item_ids, repeat(-1)), np.intp, len(item_ids))

    def repeated(self, rows: NDArray[np.intp]) -> bool:
        """Whether a row occurs twice in `rows` (n,), all >= 0."""
        self._seen[rows] = places = np.arange(len(rows))
        return not (self._seen[rows] == places).all()

    def scores(self, rows: NDArray[np.intp], values: Floats) -> Floats:
        """Dot product of a quantized request, (d,), with the items of `rows`, (n,), all >= 0: (n,) float32.

        Times the request's own scale this is the cosine; the order needs no such factor.
        """
        n = len(rows)
        if n > len(self._buffer):
            self._buffer = np.empty((2 * n, self.dimension), np.float32)
        gathered = self._buffer[:n]
        self._values.take(rows, 0, gathered, "clip")  # (n, d)
        if len(self._late) and (late := rows >= self._n).any():
            gathered[late] = self._late[rows[late] - self._n]
        products: Floats = gathered @ values  # (n, d) @ (d,) -> (n,)
        return products * self._scales[rows]

    def put(self, item_id: str, vector: Quantized) -> None:
        """Add an item, or replace its vector."""
        row = self._index.get(item_id, -1)
        if row < self._n:  # unknown, or in the read-only part
            row = self._free.pop() if self._free else len(self._scales)
            if row - self._n >= len(self._late):
                self._late = np.concatenate(
                    [self._late, np.empty((max(64, len(self._late)), self.dimension), np.float32)]
                )
            if row == len(self._scales):
                self._scales = np.append(self._scales, np.float32(0))
                self._seen = np.append(self._seen, 0)
        self._late[row - self._n] = vector.floats()
        self._scales[row] = vector.scale
        self._index[item_id] = row

    def remove(self, item_id: str) -> None:
        """Forget an item; nothing happens if it is not known."""
        row = self._index.pop(item_id, -1)
        if row >= self._n:
            self._free.append(row)
