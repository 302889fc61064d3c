"""Reading a topic up to where it ends now."""

from collections.abc import Iterable, Iterator, Mapping
from time import monotonic
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from ranker.errors import BrokerError
from streams.kafka import broker_errors, kafka_python_connection
from streams.settings import Settings

PATIENCE = 30.0
"""Seconds without an answer after which the broker is given up."""
TAIL, LONGEST_TAIL = 0.3, 3.0
"""The embedded broker only knows where the last batch begins, so reading goes on until nothing came for so long."""


def scan(
    settings: Settings,
    topic: str,
    starts: Mapping[int, int] | None = None,
    stops: Mapping[int, int] | None = None,
    *,
    absent: bool = False,
) -> Iterator[Any]:
    """The records of `topic` (without the prefix), those of a partition in their order.

    `starts` names the partitions to read and the offset to begin at, `stops` the offsets before which to end.
    Raises BrokerError, for a topic that is not there unless it may be `absent`.
    """
    name = settings.topic(topic)
    with broker_errors(settings):
        consumer = KafkaConsumer(
            **kafka_python_connection(settings),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            fetch_max_wait_ms=20,
        )
        try:
            partitions = consumer.partitions_for_topic(name)
            if partitions:
                places = [TopicPartition(name, p) for p in sorted(partitions) if starts is None or p in starts]
                consumer.assign(places)
                for place in places:
                    if starts is None:
                        consumer.seek_to_beginning(place)
                    else:
                        consumer.seek(place, starts[place.partition])
                yield from _up_to_end(consumer, places, stops)
            elif not absent:
                raise BrokerError(f"there is no topic {name}; `ctrlrec topics` creates it")
        finally:
            consumer.close()


def partitions(settings: Settings, topics: Iterable[str]) -> dict[str, set[int]]:
    """The partitions of each topic; none of one that is not there."""
    with broker_errors(settings):
        consumer = KafkaConsumer(**kafka_python_connection(settings), group_id=None, allow_auto_create_topics=False)
        try:
            return {topic: consumer.partitions_for_topic(settings.topic(topic)) or set() for topic in topics}
        finally:
            consumer.close()


def _up_to_end(consumer: Any, places: list[Any], stops: Mapping[int, int] | None) -> Iterator[Any]:
    ends = consumer.end_offsets(places) if stops is None else {place: stops[place.partition] for place in places}
    heard, reached = monotonic(), 0.0
    while places:
        polled = consumer.poll(timeout_ms=round((TAIL if reached else 0.1) * 1000))
        for place, records in polled.items():
            yield from (record for record in records if stops is None or record.offset < ends[place])
        now = monotonic()
        if polled:
            heard = now
        if all(consumer.position(place) >= ends[place] for place in places):
            if stops is not None or (reached and (not polled or now - reached > LONGEST_TAIL)):
                return
            reached = reached or now
        elif now - heard > PATIENCE:
            raise BrokerError(f"the broker sent nothing of {places[0].topic} for {PATIENCE:.0f} s")
