"""The topics of a worker fleet, as a replay uses them: what goes in, and what comes out from now on."""

import time
from collections.abc import Iterator
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from ranker.errors import BadEvent, BrokerError
from ranker.events import Ranking
from streams.kafka import check_reachable, kafka_python_connection
from streams.letters import about
from streams.settings import Settings
from streams.wire import decode_ranking

PATIENCE = 60.0
"""Seconds without any answer after which the fleet is given up."""


class FleetLink:
    """Raises BrokerError, and within `broker_errors` only that, throughout."""

    def __init__(self, settings: Settings) -> None:
        check_reachable(settings)
        self._settings = settings
        self._producer = KafkaProducer(
            **kafka_python_connection(settings), acks="all", linger_ms=5, batch_size=256 * 1024,
            max_request_size=1_100_000, max_block_ms=30_000, allow_auto_create_topics=False,
        )  # fmt: skip
        self._readers = {topic: self._reader(topic) for topic in ("rankings", "vectors", "dead-letters")}

    def send(self, topic: str, value: bytes, key: str) -> None:
        """It is there after the next `flush`."""
        self._producer.send(self._settings.topic(topic), value, key=key.encode())

    def flush(self) -> None:
        """Wait until all that was sent is there."""
        self._producer.flush(timeout=PATIENCE)

    def rankings(self) -> Iterator[Ranking]:
        """Those that came."""
        for record in self._came("rankings", 200):
            try:
                yield decode_ranking(record.value)
            except BadEvent:
                continue  # nor is it of ours

    def indexed(self) -> list[str]:
        """Ids of items whose vectors came, or went."""
        return [_key(record) for record in self._came("vectors", 200)]

    def refused(self) -> dict[str, BadEvent]:
        """What became a dead letter, by its key, and why."""
        found = {}
        for record in self._came("dead-letters", 0):
            said = about(record)
            reason = said.get("class", "")
            reason = reason if reason in BadEvent.REASONS else "bug"
            found[_key(record)] = BadEvent(reason, f"refused by a worker: {said.get('message', 'it does not say why')}")
        return found

    def close(self) -> None:
        """Disconnect."""
        for client in (self._producer, *self._readers.values()):
            client.close()

    def _came(self, topic: str, milliseconds: int) -> list[Any]:
        polled = self._readers[topic].poll(timeout_ms=milliseconds, max_records=5000)
        return [record for records in polled.values() for record in records]

    def _reader(self, topic: str) -> Any:
        name = self._settings.topic(topic)
        consumer = KafkaConsumer(
            **kafka_python_connection(self._settings), group_id=None, enable_auto_commit=False,
            auto_offset_reset="earliest", allow_auto_create_topics=False, fetch_max_wait_ms=20,
        )  # fmt: skip
        partitions = consumer.partitions_for_topic(name)
        if not partitions:
            consumer.close()
            raise BrokerError(f"there is no topic {name}; `ctrlrec topics` creates it")
        places = [TopicPartition(name, partition) for partition in sorted(partitions)]
        consumer.assign(places)
        for place, end in consumer.end_offsets(places).items():
            consumer.seek(place, end)
        return consumer


class Patience:
    """Runs out when nothing came for so long."""

    def __init__(self) -> None:
        self._heard = time.monotonic()

    def heard(self) -> None:
        self._heard = time.monotonic()

    def check(self, what: str) -> None:
        """Raises BrokerError that says `what` is missing."""
        if time.monotonic() - self._heard > PATIENCE:
            raise BrokerError(
                f"{what} for {PATIENCE:.0f} s: is a worker running, and what does `ctrlrec dead-letters list` say? The same "
                "command goes on where it was"
            )


def _key(record: Any) -> str:
    return (record.key or b"").decode(errors="replace")
