"""What a log is made of, wherever it is read from, and the order in which it is replayed.

In a file of lines (or rows) that order is the file's. In an archive or on Kafka it is time: a record's own timestamp, or the
latest one before it in its partition where that is later, so that the order of a partition is never changed. At the same
millisecond items come before requests, these before controls, and those before candidate lists; then the lower partition
comes first.
"""

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from typing import Literal, NamedTuple, Protocol, get_args

from msgspec import Struct

from ranker.errors import BadEvent

Kind = Literal["items", "requests", "controls", "candidates", "rankings", "clicks"]
"""A topic without its prefix, in the order in which records of one millisecond are replayed."""
KINDS: tuple[Kind, ...] = get_args(Kind)
STATE: tuple[Kind, ...] = ("items", "requests", "controls", "candidates")
"""What is replayed; of the others it is only known which list they are about."""
SAID: tuple[Kind, ...] = ("rankings", "clicks")

Where = int | tuple[str, int, int]
"""The number of a line, from 1; or topic, partition and offset."""


class Spot(NamedTuple):
    """An entry of the log: how many came before it, and where it lies."""

    order: int
    where: Where


class Entry(NamedTuple):
    """One record of a log."""

    kind: Kind
    value: bytes | None
    where: Where
    key: bytes | None = None
    partition: int = 0
    size: int = 0
    """Bytes of value, key and headers, as a worker counts them."""


class Unreadable(NamedTuple):
    """What takes the place of an entry that is none."""

    error: BadEvent
    where: Where


class BadLine(Struct, frozen=True):
    """What was skipped, as it is written to the file beside the rankings."""

    line: int | None
    """None where the log has no lines."""
    place: str | None
    """`topic[partition]@offset`; None where the log has lines."""
    reason: str
    message: str


Advance = Callable[[int], object]
"""Hears how much of a source has been read, in whatever `total` counts."""
Entries = Iterator[Entry | Unreadable]


class Source(Protocol):
    """Where a log is read from. Reading it twice gives the same."""

    total: int
    unit: Literal["bytes", "records"]

    def identity(self) -> list[str]:
        """What must be the same for another replay to go on where this one ended."""

    def entries(self, kinds: Iterable[Kind], advance: Advance) -> Entries:
        """What there is of these kinds, in the log's order. Raises DataError, or BrokerError."""


def bad_line(where: Where, error: BadEvent) -> BadLine:
    return BadLine(
        where if isinstance(where, int) else None,
        None if isinstance(where, int) else place(where),
        error.reason,
        str(error),
    )


def place(where: Where) -> str:
    return f"line {where}" if isinstance(where, int) else f"{where[0]}[{where[1]}]@{where[2]}"


Dated = tuple[int, int, int, int, Entry]
"""Milliseconds, place of the kind, partition, offset, and the entry: no two are equal before it."""


def dated(records: Iterable[tuple[int, Entry]]) -> Iterator[Dated]:
    """One partition's records with their timestamps, none of them dated before one that it follows."""
    latest = 0
    for timestamp, entry in records:
        latest = max(latest, timestamp)
        assert not isinstance(entry.where, int)  # noqa: S101  a record lies in a partition
        yield latest, KINDS.index(entry.kind), entry.partition, entry.where[2], entry


def in_order(partitions: Iterable[Iterator[Dated]], advance: Advance) -> Entries:
    """The records of many partitions; `advance` hears their number."""
    count = 0
    for count, (*_, entry) in enumerate(merge(*partitions), 1):
        yield entry
        if count % 256 == 0:
            advance(count)
    advance(count)
