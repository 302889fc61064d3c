"""Archiving live topics. What is on the disk says where to go on: the file names hold the offsets, and a file has its name only
once it is whole. So whatever ends a recorder, the next one neither loses a record nor writes one twice."""

import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import OffsetOutOfRangeError

from ranker.durable import replacing, sync
from ranker.errors import BrokerError, ConfigError, DataError
from streams.kafka import broker_errors, check_reachable, kafka_python_connection
from streams.replay.alone import alone
from streams.replay.archive import SCHEMA, held, name_of
from streams.replay.log import KINDS
from streams.replay.topicids import TopicIds
from streams.scan import TAIL
from streams.settings import Settings

DEFAULT = KINDS
ROWS, BYTES = 50_000, 64 << 20
"""Of one file, at most."""
MEMORY = 256 << 20
"""Bytes of records that wait to be written, of all partitions."""
LATEST = 253_402_300_799_000
"""Milliseconds: the last second of the year 9999."""
UNFINISHED = ".unfinished-"


class _Waiting:
    """Records of one partition that are to become a file."""

    def __init__(self, offset: int, hour: str) -> None:
        self.next, self.hour = offset, hour
        """The offset of the next record, and the hour of those that wait."""
        self.records: list[Any] = []
        self.bytes = 0


class _Place(NamedTuple):
    topic: str
    """Without the prefix."""
    partition: int


class Recorder:
    """Records `topics`, given without their prefix. One for an archive at a time; raises DataError for another."""

    def __init__(
        self,
        settings: Settings,
        archive: Path,
        topics: Collection[str],
        *,
        every: float = 300.0,
        allow_gaps: bool = False,
    ) -> None:
        if unknown := set(topics) - set(KINDS):
            raise ConfigError(f"{', '.join(sorted(unknown))}: topics that replays read are {', '.join(KINDS)}")
        self._settings, self._archive, self._topics = settings, archive, topics
        self._every, self._allow_gaps, self._stopped = every, allow_gaps, False
        self._waiting: dict[_Place, _Waiting] = {}
        self.written = 0

    def stop(self) -> None:
        """End `run` soon, with all that was read written. May be called by a signal's handler."""
        self._stopped = True

    def run(self, *, once: bool = False, tell: Callable[[str], object] = lambda _: None) -> int:
        """Record until `stop`, or `once` only up to where the topics end now. Returns how many records were written.

        Raises BrokerError, and DataError where records were deleted before they were recorded, or a topic was made again.
        """
        with alone(self._archive, "ctrlrec record"):
            check_reachable(self._settings)
            with broker_errors(self._settings), TopicIds(self._settings, self._archive) as ids:
                consumer = KafkaConsumer(
                    **kafka_python_connection(self._settings),
                    group_id=None,
                    enable_auto_commit=False,
                    auto_offset_reset="none",
                    allow_auto_create_topics=False,
                    fetch_max_wait_ms=100,
                    max_partition_fetch_bytes=4 << 20,
                )
                try:
                    self._assign(consumer, ids, tell)
                    if not self._waiting:
                        names = ", ".join(map(self._settings.topic, self._topics))
                        raise BrokerError(f"none of the topics {names} is there; `ctrlrec topics` creates them")
                    self._record(
                        consumer, ids, tell, consumer.end_offsets(list(consumer.assignment())) if once else None
                    )
                finally:
                    consumer.close()
        return self.written

    def _record(self, consumer: Any, ids: TopicIds, tell: Callable[[str], object], ends: dict[Any, int] | None) -> None:
        due = time.monotonic() + self._every
        while not self._stopped:
            try:
                polled = consumer.poll(timeout_ms=round(TAIL * 1000))
                if polled:
                    ids.check()  # what came is of the topics that were there until now
            except (OffsetOutOfRangeError, DataError):
                self._write_all()
                ids.check()
                raise DataError(
                    "records were deleted while they were being recorded: the same command says which"
                ) from None
            for place, records in polled.items():
                self._take(_Place(place.topic.removeprefix(self._settings.topic_prefix), place.partition), records)
            if ends is not None and not polled and all(consumer.position(each) >= end for each, end in ends.items()):
                break
            if sum(each.bytes for each in self._waiting.values()) > MEMORY:
                self._write(max(self._waiting, key=lambda place: self._waiting[place].bytes))
            if time.monotonic() >= due:
                self._write_all()
                self._assign(consumer, ids, tell)
                tell(f"{datetime.now(UTC):%H:%M:%S} {self.written:,} records written")
                due = time.monotonic() + self._every
        self._write_all()

    def _assign(self, consumer: Any, ids: TopicIds, tell: Callable[[str], object]) -> None:
        """Begin to read partitions that are new, each where its files end, and at its beginning where it has none."""
        found = []
        for topic in self._topics:
            partitions = consumer.partitions_for_topic(self._settings.topic(topic)) or ()
            found += [_Place(topic, each) for each in sorted(partitions) if _Place(topic, each) not in self._waiting]
        if not found:
            return
        ids.check(each.topic for each in found)
        places = {each: TopicPartition(self._settings.topic(each.topic), each.partition) for each in found}
        beginnings = consumer.beginning_offsets(list(places.values()))
        consumer.assign([*consumer.assignment(), *places.values()])  # keeps the positions of the former
        for topic in {each.topic for each in found}:
            for file in self._archive.glob(f"topic={topic}/hour=*/{UNFINISHED}*"):
                file.unlink()
            last = {each.partition: each for each in held(self._archive, topic)}  # by offset, so the last one stays
            for place in (each for each in found if each.topic == topic):
                beginning = beginnings[places[place]]
                file_ = last.get(place.partition)
                start = file_.last + 1 if file_ else beginning
                if start < beginning:
                    lost = f"{self._settings.topic(topic)}[{place.partition}]: offsets {start} to {beginning - 1}"
                    if not self._allow_gaps:
                        raise DataError(
                            f"{lost} were deleted before they were recorded; add --allow-gaps to go on without them"
                        )
                    tell(f"{lost} are lost")
                    start = beginning
                self._waiting[place] = _Waiting(start, file_.hour if file_ else "")
                consumer.seek(places[place], start)

    def _take(self, place: _Place, records: list[Any]) -> None:
        waiting = self._waiting[place]
        for record in records:
            if record.offset < waiting.next:
                continue
            hour = _hour(record.timestamp)
            if waiting.records and (hour > waiting.hour or len(waiting.records) >= ROWS or waiting.bytes >= BYTES):
                self._write(place)
            waiting.hour = max(hour, waiting.hour)
            waiting.records.append(record)
            headers = sum(len(name) + len(value or b"") for name, value in record.headers)
            waiting.bytes += len(record.value or b"") + len(record.key or b"") + headers + 100
            waiting.next = record.offset + 1

    def _write_all(self) -> None:
        for place, waiting in self._waiting.items():
            if waiting.records:
                self._write(place)

    def _write(self, place: _Place) -> None:
        """A name that a reader knows only once the file is on the disk."""
        waiting = self._waiting[place]
        first, last = waiting.records[0].offset, waiting.records[-1].offset
        folder = self._archive / f"topic={place.topic}" / f"hour={waiting.hour}"
        name = name_of(place.partition, first, last)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / name, UNFINISHED, "") as file:
                pq.write_table(_table(waiting.records), file, compression="zstd", row_group_size=4096)
            for each in (folder.parent, self._archive):
                sync(each)
        except OSError as error:
            raise DataError(f"{folder / name} cannot be written: {error.strerror}") from error
        self.written += len(waiting.records)
        waiting.records, waiting.bytes = [], 0


def _hour(timestamp: int) -> str:
    """UTC. A producer may have dated a record as it liked: the calendar's first and last hours hold what lies beyond."""
    return f"{datetime.fromtimestamp(min(max(0, timestamp), LATEST) / 1000, UTC):%Y-%m-%dT%H}"


def _table(records: list[Any]) -> Any:
    return pa.table(
        {
            "topic": [record.topic for record in records],
            "partition": [record.partition for record in records],
            "offset": [record.offset for record in records],
            "timestamp": [record.timestamp for record in records],
            "key": [record.key for record in records],
            "value": [record.value for record in records],
            "headers": [[{"name": name, "value": value} for name, value in record.headers] for record in records],
        },
        schema=SCHEMA,
    )
