"""Archives: topics as Parquet, partitioned by hour. `ctrlrec record` writes them; every row is a record as it was.

    ARCHIVE/topic=candidates/hour=2026-01-31T12/00003-00000000000000000017-00000000000000004016.parquet

holds the offsets 17 to 4016 of partition 3. An hour is UTC, of the record's timestamp, or of a later one before it in its
partition: a partition's files follow each other without overlapping.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ranker.errors import BadEvent, DataError
from streams.replay.log import KINDS, STATE, Advance, Dated, Entries, Entry, Kind, Unreadable, dated, in_order

SCHEMA = pa.schema(
    {
        "topic": pa.string(),
        "partition": pa.int32(),
        "offset": pa.int64(),
        "timestamp": pa.timestamp("ms", "UTC"),
        "key": pa.binary(),
        "value": pa.binary(),
        "headers": pa.list_(pa.struct({"name": pa.string(), "value": pa.binary()})),
    }
)

ROWS = 256
"""Rows that are held at a time, of each partition."""
_NAME = re.compile(r"^(\d{5})-(\d{20})-(\d{20})\.parquet$")


class Held(NamedTuple):
    """One file of an archive."""

    partition: int
    first: int
    last: int
    """Offsets."""
    hour: str
    file: Path


def name_of(partition: int, first: int, last: int) -> str:
    return f"{partition:05d}-{first:020d}-{last:020d}.parquet"


def held(archive: Path, kind: str) -> list[Held]:
    """The files of a topic (without its prefix), those of each partition by offset. Raises DataError if they overlap."""
    found = []
    for file in archive.glob(f"topic={kind}/hour=*/*.parquet"):
        if match := _NAME.match(file.name):
            partition, first, last = map(int, match.groups())
            found.append(Held(partition, first, last, file.parent.name.partition("=")[2], file))
    found.sort()
    for before, after in pairwise(found):
        if before.partition == after.partition and before.last >= after.first:
            raise DataError(f"{before.file} and {after.file} hold the same offsets; remove one of them")
    return found


class Archive:
    """What `ctrlrec record` has written: all of it, or the `files` of a replay that goes on, whatever came since."""

    unit: Literal["bytes", "records"] = "records"

    def __init__(self, folder: Path, files: Collection[str] = ()) -> None:
        wanted = {folder / file for file in files}
        if gone := sorted(file for file in wanted if not file.exists()):
            raise DataError(f"{gone[0]} is gone since the replay began: add --restart to replay what there is now")
        self._files = {
            kind: [each for each in held(folder, kind) if not wanted or each.file in wanted] for kind in KINDS
        }
        if not any(self._files.values()):
            raise DataError(
                f"{folder} holds no topics: an archive has files such as topic=candidates/hour=.../*.parquet"
            )
        self.folder = folder
        self.total = sum(_rows(each.file) for kind in STATE for each in self._files[kind])

    def identity(self) -> list[str]:
        """The folder, and its files relative to it: they are never changed, but another archive's have the same names."""
        files = [str(each.file.relative_to(self.folder)) for kind in KINDS for each in self._files[kind]]
        return [str(self.folder.resolve()), *files]

    def entries(self, kinds: Iterable[Kind], advance: Advance) -> Entries:
        """Partitions are merged by time."""
        return in_order(self._partitions(kinds), advance)

    def _partitions(self, kinds: Iterable[Kind]) -> Iterator[Iterator[Dated]]:
        for kind in kinds:
            for partition in sorted({each.partition for each in self._files[kind]}):
                files = [each.file for each in self._files[kind] if each.partition == partition]
                yield dated(_of_all(files, kind))


class Table:
    """One Parquet file with the columns `topic` and `value`, and of an archive's others those that it has, in order."""

    unit: Literal["bytes", "records"] = "records"

    def __init__(self, file: Path) -> None:
        self.file, self.total = file, _rows(file)

    def identity(self) -> list[str]:
        """The file and when it was changed last."""
        return [str(self.file.resolve()), str(self.total), str(self.file.stat().st_mtime_ns)]

    def entries(self, kinds: Iterable[Kind], advance: Advance) -> Entries:
        """A row is a line."""
        wanted = set(kinds)
        for row, (_, entry) in enumerate(_entries(self.file, None), 1):
            if entry.kind not in KINDS:
                yield Unreadable(BadEvent("schema", f"topic is none of {', '.join(KINDS)}"), row)
            elif entry.kind in wanted:
                yield entry._replace(where=row)
            if row % ROWS == 0:
                advance(row)
        advance(self.total)


def _of_all(files: list[Path], kind: Kind) -> Iterator[tuple[int, Entry]]:
    for file in files:
        yield from _entries(file, kind)


def _entries(file: Path, kind: Kind | None) -> Iterator[tuple[int, Entry]]:
    """With their timestamps; of a `kind`, or of what the column `topic` says, up to its last full stop left out."""
    try:
        with pq.ParquetFile(file, memory_map=True, pre_buffer=False) as opened:
            names = set(opened.schema_arrow.names)
            if missing := {"topic", "value"} - names:
                raise DataError(f"{file} has no column {' or '.join(sorted(missing))}")
            for field in opened.schema_arrow:
                if not _fits(field):
                    raise DataError(
                        f"{file}: its column {field.name} holds {field.type}, not {SCHEMA.field(field.name).type}"
                    )
            for batch in opened.iter_batches(ROWS, columns=[name for name in SCHEMA.names if name in names]):
                yield from _rows_of(batch, kind)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{file} cannot be read: {error}; if it is damaged, remove it") from error


def _fits(field: Any) -> bool:
    """Whether a column can be read as an archive's of its name; text will do for bytes."""
    types, of = pa.types, field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    text = types.is_string(of) or types.is_large_string(of)
    match field.name:
        case "topic":
            return bool(text)
        case "key" | "value":
            return bool(text or types.is_binary(of) or types.is_large_binary(of) or types.is_null(of))
        case "partition" | "offset":
            return bool(types.is_integer(of) or types.is_null(of))
        case "timestamp":
            return bool(types.is_timestamp(of) or types.is_integer(of))
        case "headers":
            pair = types.is_list(of) and types.is_struct(of.value_type)
            return bool(types.is_null(of) or (pair and [each.name for each in of.value_type] == ["name", "value"]))
    return True


def _rows_of(batch: Any, kind: Kind | None) -> Iterator[tuple[int, Entry]]:
    rows, names = batch.num_rows, set(batch.schema.names)

    def numbers(name: str) -> list[int]:
        column = batch.column(name).cast(pa.int64()) if name in names else None
        return [0] * rows if column is None else column.fill_null(0).to_numpy().tolist()

    def some_bytes(name: str) -> list[bytes | None]:
        column = batch.column(name).to_pylist() if name in names else [None] * rows
        return [each.encode() if isinstance(each, str) else each for each in column]

    topics = batch.column("topic").to_pylist()
    headers: list[Any] = [None] * rows
    if "headers" in names and batch.column("headers").null_count < rows and _any_header(batch.column("headers")):
        headers = batch.column("headers").to_pylist()
    for topic, value, key, partition, offset, time, more in zip(
        topics, some_bytes("value"), some_bytes("key"), numbers("partition"), numbers("offset"), numbers("timestamp"),
        headers, strict=True,
    ):  # fmt: skip
        size = len(value or b"") + len(key or b"")
        if more:
            size += sum(len(each["name"].encode()) + len(each["value"] or b"") for each in more)
        of: Any = kind or (topic or "").rpartition(".")[2]
        yield time, Entry(of, value, (topic, partition, offset), key, partition, size)


def _any_header(column: Any) -> bool:
    return bool(len(column.flatten()))


def _rows(file: Path) -> int:
    try:
        return int(pq.read_metadata(file).num_rows)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{file} cannot be read: {error}; if it is damaged, remove it") from error
