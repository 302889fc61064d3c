"""Rankings as files: a part holds those of one segment under one variant, in the log's order."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import msgspec
import numpy as np

from ranker.durable import replacing, sync
from ranker.errors import DataError
from ranker.events import Adherence, Explanation, Ranking
from ranker.rank import Fused, Ready, rankings
from streams.replay.state import Codes
from streams.replay.variants import Batch
from streams.wire import decode_ranking, encode

Format = Literal["jsonl", "parquet"]
ROW_GROUP = 1 << 22
"""Entries of lists that wait in memory, each four bytes and more, before they become a row group."""
FIGURES = len(Adherence.__struct_fields__)


class Part(Protocol):
    """One part being written."""

    def add(self, batch: Batch) -> None:
        """The rankings of a batch."""

    def close(self) -> None:
        """It is on the disk, under its name, when this returns."""


def part(file: Path, format_: Format, codes: Codes) -> Part:
    """A part that is to become `file`; `codes` are by what items are numbered in it."""
    return JsonLines(file) if format_ == "jsonl" else Columns(file, codes)


class JsonLines:
    """The bytes that a worker sends, a line each."""

    def __init__(self, file: Path) -> None:
        self._file, self._mode = file, "wb"

    def add(self, batch: Batch) -> None:
        self._append(
            b"".join(encode(each) + b"\n" for each in (batch if isinstance(batch, list) else rankings(*batch)))
        )

    def close(self) -> None:
        self._append(b"")
        finish(self._file)

    def _append(self, lines: bytes) -> None:
        # Opened anew each time: a replay that ends amid a segment leaves nothing open.
        with file_errors(self._file):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with unfinished(self._file).open(self._mode) as opened:
                opened.write(lines)
        self._mode = "ab"


class Columns:
    """Parquet: the fields of a Ranking as columns, item ids as codes with a dictionary."""

    def __init__(self, file: Path, codes: Codes) -> None:
        self._file, self._codes, self._batches = file, codes, list[dict[str, Any]]()
        self._entries = 0
        self._writer: Any = None

    def add(self, batch: Batch) -> None:
        assert not isinstance(batch, list)  # noqa: S101  what a fleet has ranked becomes lines
        ready, fused = batch
        flat, spans, order = ready.flat, ready.flat.spans, fused.order
        lengths = np.array(spans.lengths)
        lists = [asked.candidates for asked in flat.run]
        if any(each.top_k is not None for each in lists):
            shown = np.minimum(
                lengths, [each.top_k or length for each, length in zip(lists, spans.lengths, strict=True)]
            )
            within = spans.positions - np.repeat(spans.starts, lengths)
            order, lengths = order[within < np.repeat(shown, lengths)], shown
        self._batches.append(
            {
                "event_id": [each.event_id for each in lists],
                "user_id": [each.user_id for each in lists],
                "items": flat.numbers[order].astype(np.int32),
                "lengths": lengths,
                "created_at": [each.created_at for each in lists],
                "bundle": [ready.model.bundle] * len(lists),
                "request_id": [steering and steering.request_id for steering, _ in ready.in_force],
                "weight": fused.weights,
                "degraded": [
                    why or ("unknown_items" if unknown else None)
                    for (_, why), unknown in zip(ready.in_force, ready.unknown, strict=True)
                ],
                "unknown_items": ready.unknown,
                "steered": np.array([steer is not None for steer in ready.steers]),
                "adherence": np.array(fused.figures.columns() if fused.figures else np.zeros((FIGURES, len(lists)))),
                "explain": self._explained(ready, fused),
            }
        )
        self._entries += len(order)
        if self._entries >= ROW_GROUP:
            self._write()

    def _explained(self, ready: Ready, fused: Fused) -> list[Explanation | None]:
        if not any(asked.candidates.explain for asked in ready.flat.run):
            return [None] * len(ready.flat.run)
        return [ranking.explain for ranking in rankings(ready, fused)]

    def close(self) -> None:
        if self._batches or self._writer is None:
            self._write()
        with file_errors(self._file):
            self._writer.close()
        finish(self._file)

    def _write(self) -> None:
        """What waits becomes a row group."""
        import pyarrow.parquet as pq

        table = self._table()
        with file_errors(self._file):
            if self._writer is None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._writer = pq.ParquetWriter(
                    unfinished(self._file), table.schema, compression="lz4", write_statistics=["created_at", "user_id"]
                )
            self._writer.write_table(table)
        self._batches, self._entries = [], 0

    def _table(self) -> Any:
        import pyarrow as pa

        def flat(name: str) -> list[Any]:
            return [value for batch in self._batches for value in batch[name]]

        lengths = np.concatenate([[0], *(batch["lengths"] for batch in self._batches)])
        items = np.concatenate([np.empty(0, np.int32), *(batch["items"] for batch in self._batches)])
        ids = pa.DictionaryArray.from_arrays(pa.array(items), pa.array(list(self._codes), pa.string()))
        explained = flat("explain")
        steered = np.concatenate([np.empty(0, np.bool_), *(batch["steered"] for batch in self._batches)])
        figures = np.concatenate([np.empty((FIGURES, 0)), *(batch["adherence"] for batch in self._batches)], 1)
        figures[:, ~steered] = 0.0
        adherence = pa.StructArray.from_arrays(
            [pa.array(each, pa.float64(), from_pandas=True) for each in figures],  # NaN is no gain
            Adherence.__struct_fields__,
            mask=pa.array(~steered),
        )
        ranks = pa.struct({"base_ranks": pa.list_(pa.int32()), "control_ranks": pa.list_(pa.int32())})
        return pa.table(
            {
                "event_id": pa.array(flat("event_id"), pa.string()),
                "user_id": pa.array(flat("user_id"), pa.string()),
                "item_ids": pa.ListArray.from_arrays(pa.array(np.cumsum(lengths), pa.int32()), ids),
                "created_at": pa.array(flat("created_at"), pa.float64()),
                "bundle": pa.array(flat("bundle"), pa.string()).dictionary_encode(),
                "request_id": pa.array(flat("request_id"), pa.string()),
                "weight": pa.array(flat("weight"), pa.float64()),
                "degraded": pa.array(flat("degraded"), pa.string()).dictionary_encode(),
                "unknown_items": pa.array(flat("unknown_items"), pa.int32()),
                "adherence": adherence,
                "explain": pa.array([each and msgspec.structs.asdict(each) for each in explained], ranks),
            }
        )


def read_part(file: Path) -> Iterator[Ranking]:
    """The rankings of a part, in their order."""
    if file.suffix == ".jsonl":
        with file.open("rb") as lines:
            yield from map(decode_ranking, lines)
        return
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        # Row groups differ in their dictionaries, which pyarrow does not join within lists.
        groups = range(opened.num_row_groups)
        for batch in chain.from_iterable(opened.iter_batches(1024, row_groups=[group]) for group in groups):
            for row in batch.to_pylist():
                adherence, explain = row.pop("adherence"), row.pop("explain")
                yield Ranking(
                    **row,
                    adherence=adherence and Adherence(**adherence),
                    explain=explain and Explanation(**explain),
                )


def write(file: Path, content: bytes) -> None:
    """Replace a file in one step, after which it is on the disk. Raises DataError."""
    with writing(file) as opened:
        opened.write(content)


@contextmanager
def writing(file: Path) -> Iterator[BinaryIO]:
    """The same, a piece at a time."""
    with file_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as opened:
            yield opened


def unfinished(file: Path) -> Path:
    """Where a part is written until it is whole."""
    return file.with_name(file.name + ".part")


def finish(file: Path) -> None:
    """Give it its name, once the disk holds all of it. Raises DataError."""
    with file_errors(file):
        sync(unfinished(file))
        unfinished(file).replace(file)
        sync(file.parent)


@contextmanager
def file_errors(file: Path) -> Iterator[None]:
    """Raises DataError for what goes wrong with `file`."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error.strerror or error}") from error
