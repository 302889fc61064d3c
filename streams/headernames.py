"""Header names that are not UTF-8: aiokafka cannot read a record that has one, nor any behind it, for ever.

Such a name is read with its odd bytes spelled out (`\\xff`), so that what has it is an event like any other.
"""

from collections.abc import Iterator
from itertools import islice
from struct import unpack_from
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

LENGTH_AT, LENGTH_ENDS = 8, 12
"""Where a batch's length is, in bytes from its beginning; it counts from behind itself."""


def accept_any_header_name() -> None:
    """From now on, for all of aiokafka's consumers in this process: they have no place to put it in."""
    fetcher.MemoryRecords = TolerantRecords


class TolerantRecords:
    """aiokafka's MemoryRecords: the batches of one partition, as they were fetched."""

    def __init__(self, fetched: bytes) -> None:
        self._records, self._fetched, self._next = MemoryRecords(fetched), fetched, 0
        self.has_next, self.size_in_bytes = self._records.has_next, self._records.size_in_bytes

    def next_batch(self) -> "_Batch":
        (length,) = unpack_from(">i", self._fetched, self._next + LENGTH_AT)
        start, self._next = self._next, self._next + LENGTH_ENDS + length
        return _Batch(self._records.next_batch(), self._fetched, start, self._next)


class _Batch:
    """A batch whose records are read the quick way as far as that goes."""

    def __init__(self, quick: Any, fetched: bytes, start: int, end: int) -> None:
        self._quick, self._fetched, self._start, self._end = quick, fetched, start, end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._quick, name)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._quick:
                read += 1
                yield record
        except UnicodeDecodeError:
            yield from islice(_SlowBatch(self._fetched[self._start : self._end]), read, None)


class _SlowBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka tells no types
    _buffer: Any

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = OddNames(self._buffer)


class OddNames(bytearray):
    """Bytes whose slices are text in whatever encoding."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _Name(found) if isinstance(place, slice) else found


class _Name(bytes):
    def decode(self, encoding: str = "utf-8", _errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")
