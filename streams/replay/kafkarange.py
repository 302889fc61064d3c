"""Logs that are still on Kafka: topics, or ranges of them, through kafka-python."""

import re
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any, Literal

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import OffsetOutOfRangeError

from ranker.errors import BrokerError, ConfigError
from streams.kafka import broker_errors, check_reachable, kafka_python_connection
from streams.replay.log import KINDS, SAID, STATE, Advance, Entries, Entry, Kind, dated, in_order
from streams.replay.sources import Log
from streams.scan import LONGEST_TAIL, PATIENCE, TAIL
from streams.settings import Settings

_RANGE = re.compile(r"^(?P<topic>[a-z]+)\[(?P<partition>\d+)\]@(?P<first>\d+)-(?P<last>\d*)$")
NEEDED = ("requests", "candidates", "items")
BEFORE: tuple[Kind, ...] = ("items", "requests", "controls")
NEVER = 1 << 62
"""No offset: where a partition ends is only known later, and what it has is older than what is wanted."""
End = tuple[Kind, int, int, int]
Ends = tuple[End, ...]


def settle(log: Log, settings: Settings) -> Ends:
    """From which offset to which each partition is read, as the topics are now. Raises ConfigError, BrokerError."""
    ranges: dict[tuple[str, int], tuple[int, int | None]] = {}
    for text in log.ranges:
        match = _RANGE.match(text)
        if not match or match["topic"] not in KINDS:
            raise ConfigError(f"{text!r} is no range such as candidates[0]@17-99; topics are {', '.join(KINDS)}")
        first, last = int(match["first"]), int(match["last"]) + 1 if match["last"] else None
        named_twice = (match["topic"], int(match["partition"])) in ranges
        if named_twice or (last is not None and last <= first):
            raise ConfigError(
                f"{text!r} is the second range of its partition" if named_twice else f"{text!r} ends before it begins"
            )
        ranges[match["topic"], int(match["partition"])] = first, last
    named = {topic for topic, _ in ranges}
    if "requests" in named and "controls" not in named:
        named.add("controls")  # none of them: they would bring the other requests back
    check_reachable(settings)
    ends: list[End] = []
    with broker_errors(settings):
        consumer = _consumer(settings)
        try:
            for kind in KINDS:
                partitions = consumer.partitions_for_topic(settings.topic(kind)) or set()
                if not partitions and kind in NEEDED:
                    raise BrokerError(f"there is no topic {settings.topic(kind)}; `ctrlrec topics` creates it")
                for partition in sorted(partitions):
                    if kind in named and (kind, partition) not in ranges:
                        continue
                    place = TopicPartition(settings.topic(kind), partition)
                    first, end = _between(consumer, place, log, kind)
                    first = max(first, ranges.get((kind, partition), (0, None))[0])
                    ends.append((kind, partition, first, end))
            if strange := ranges.keys() - {(kind, partition) for kind, partition, _, _ in ends}:
                raise ConfigError(f"there is no {', '.join(f'{kind}[{place}]' for kind, place in sorted(strange))}")
            ends = _looked(consumer, ends, settings, log)
        finally:
            consumer.close()
    lasts = {place: end for place, (_, end) in ranges.items() if end is not None}
    return tuple(
        (kind, partition, min(first, end), max(min(first, end), min(end, lasts.get((kind, partition), end))))
        for kind, partition, first, end in ends
    )


def _looked(consumer: Any, ends: list[End], settings: Settings, log: Log) -> list[End]:
    """The embedded broker only knows where the last batch begins: read on until nothing comes for a moment."""
    reached = {
        TopicPartition(settings.topic(kind), partition): end
        for kind, partition, _, end in ends
        if log.until is None or kind not in STATE
    }
    if not reached:
        return ends
    consumer.assign(list(reached))
    for place, end in reached.items():
        consumer.seek(place, end)
    began = monotonic()
    while polled := consumer.poll(timeout_ms=round(TAIL * 1000)):
        for place, records in polled.items():
            reached[place] = max(reached[place], records[-1].offset + 1)
        if monotonic() - began > LONGEST_TAIL:
            break
    places = (TopicPartition(settings.topic(kind), partition) for kind, partition, _, _ in ends)
    return [(*each[:3], reached.get(place, each[3])) for each, place in zip(ends, places, strict=True)]


def _between(consumer: Any, place: Any, log: Log, kind: Kind) -> tuple[int, int]:
    """`since` is when the first list was made, and `until` the last: the requests and items in force then came before,
    and what became of the lists comes after."""
    first, end = consumer.beginning_offsets([place])[place], consumer.end_offsets([place])[place]
    for time, is_first in ((log.since, True), (log.until, False)):
        if time is None or (is_first and kind in BEFORE) or (not is_first and kind in SAID):
            continue
        found = consumer.offsets_for_times({place: int(time * 1000)})[place]
        # Where all records are older, the embedded broker says offset 0 of no time.
        none = found is None or found.timestamp < 0
        offset = (NEVER if is_first else end) if none else found.offset
        first, end = (offset, end) if is_first else (first, offset)
    return first, end


class KafkaRange:
    """Records up to where the topics ended when the replay began. One consumer for each partition."""

    unit: Literal["bytes", "records"] = "records"

    def __init__(self, log: Log, settings: Settings) -> None:
        self._settings, self._ends = settings, log.ends or settle(log, settings)
        self.total = sum(end - first for kind, _, first, end in self._ends if kind in STATE)

    def identity(self) -> list[str]:
        """The broker, and which offsets."""
        return [self._settings.kafka_bootstrap, self._settings.topic_prefix, *map(str, self._ends)]

    def entries(self, kinds: Iterable[Kind], advance: Advance) -> Entries:
        """Partitions are merged by time."""
        wanted = set(kinds)
        streams = [
            dated(self._records(kind, partition, first, end))
            for kind, partition, first, end in self._ends
            if kind in wanted and end > first
        ]
        try:
            with broker_errors(self._settings):
                yield from in_order(streams, advance)
        finally:
            for stream in streams:
                stream.close()  # type: ignore[attr-defined]

    def _records(self, kind: Kind, partition: int, first: int, end: int) -> Iterator[tuple[int, Entry]]:
        topic = self._settings.topic(kind)
        consumer = _consumer(self._settings)
        try:
            place = TopicPartition(topic, partition)
            consumer.assign([place])
            _see_there(consumer, place, first)
            consumer.seek(place, first)
            heard = monotonic()
            # Past what was compacted away, the position moves on without a record.
            while consumer.position(place) < end:
                try:
                    polled = consumer.poll(timeout_ms=200).get(place, ())
                except OffsetOutOfRangeError:
                    _see_there(consumer, place, consumer.position(place))
                    raise
                for record in polled:
                    if record.offset >= end:
                        return
                    yield record.timestamp, _entry(kind, topic, record)
                if polled:
                    heard = monotonic()
                elif monotonic() - heard > PATIENCE:
                    raise BrokerError(
                        f"the broker sent nothing of {topic}[{partition}] from {consumer.position(place)} on for "
                        f"{PATIENCE:.0f} s: was it deleted meanwhile?"
                    )
        finally:
            consumer.close()


def _see_there(consumer: Any, place: Any, offset: int) -> None:
    """What a topic's retention deletes while it is replayed must not be missing without a word."""
    if (begins := consumer.beginning_offsets([place])[place]) > offset:
        raise BrokerError(
            f"{place.topic}[{place.partition}]: the offsets {offset} to {begins - 1} were deleted since the replay began; "
            "add --restart to replay what there is now, and archive topics that are to be replayed (`ctrlrec record`)"
        )


def _entry(kind: Kind, topic: str, record: Any) -> Entry:
    size = len(record.value or b"") + len(record.key or b"")
    if record.headers:
        size += sum(len(name.encode()) + len(value or b"") for name, value in record.headers)
    return Entry(kind, record.value, (topic, record.partition, record.offset), record.key, record.partition, size)


def _consumer(settings: Settings) -> Any:
    return KafkaConsumer(
        **kafka_python_connection(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        allow_auto_create_topics=False,
        fetch_max_wait_ms=20,
        max_poll_records=200,
    )
