"""Reading the rankings: what `streams.client.Client.rankings` returns."""

import logging
import time
from collections import deque
from collections.abc import Collection, Iterator
from typing import Any, Literal

from kafka import KafkaConsumer, TopicPartition

from ranker.errors import BadEvent, BrokerError
from ranker.events import Ranking
from streams.kafka import broker_errors, kafka_python_connection
from streams.settings import Settings
from streams.wire import decode_ranking

log = logging.getLogger(__name__)

REMEMBERED = 50_000
"""A repeated ranking is recognised if no more than so many others came between."""
POLL = 1.0


class Rankings(Iterator[Ranking]):
    """An iterator that drops repeats. For one thread at a time."""

    def __init__(
        self, settings: Settings, timeout: float | None, of: Collection[str] | None, start: Literal["now", "earliest"]
    ) -> None:
        self._topic, self._timeout, self._closed = settings.topic("rankings"), timeout, False
        self._wanted = None if of is None else set(of)
        self._seen: dict[str, None] = {}
        self._ready: deque[Ranking] = deque()
        with broker_errors(settings):
            self._consumer = KafkaConsumer(
                **kafka_python_connection(settings),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                # One fetch is under way at a time; what it holds back, it holds back for the other partitions too.
                fetch_max_wait_ms=20,
            )
            partitions = self._consumer.partitions_for_topic(self._topic)
            if not partitions:
                self._consumer.close()
                raise BrokerError(f"there is no topic {self._topic}; `ctrlrec topics` creates it")
            places = [TopicPartition(self._topic, partition) for partition in sorted(partitions)]
            self._consumer.assign(places)
            if start == "now":
                for place, end in self._consumer.end_offsets(places).items():
                    self._consumer.seek(place, end)
            else:
                self._consumer.seek_to_beginning(*places)

    def __next__(self) -> Ranking:
        last = time.monotonic()
        while not self._ready:
            if self._closed or self._wanted == set():
                raise StopIteration
            left = POLL if self._timeout is None else min(POLL, self._timeout - (time.monotonic() - last))
            if left <= 0:
                raise StopIteration
            for records in self._consumer.poll(timeout_ms=max(1, round(left * 1000))).values():
                self._ready.extend(ranking for record in records if (ranking := self._new(record)))
        return self._ready.popleft()

    def close(self) -> None:
        """Disconnect and end the iteration; nothing happens the second time."""
        if not self._closed:
            self._closed = True
            self._consumer.close()

    def _new(self, record: Any) -> Ranking | None:
        """The ranking, unless it is a repeat or not wanted."""
        try:
            ranking: Ranking = decode_ranking(record.value)
        except BadEvent as error:
            log.error("%s[%d]@%d is no ranking: %s", record.topic, record.partition, record.offset, error)
            return None
        if ranking.event_id in self._seen:
            return None
        self._seen[ranking.event_id] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        if self._wanted is None:
            return ranking
        if ranking.event_id not in self._wanted:
            return None
        self._wanted.discard(ranking.event_id)
        return ranking
