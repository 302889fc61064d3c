"""Rankings that were made by a replay, sent to a topic as they would have come: in real time, faster, or at once."""

import time
from collections.abc import Callable
from math import inf
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

from ranker.errors import BrokerError, DataError
from streams.kafka import broker_errors, check_reachable, explained, kafka_python_connection
from streams.replay.parts import read_part, write
from streams.replay.plan import Outcome
from streams.settings import Settings
from streams.wire import encode

CHUNK = 500
"""Rankings between two notes of how many are confirmed: after a kill, at most so many are sent twice."""
OFTEN = 1.0
"""Seconds after which there is one in any case."""
TIMEOUT = 60.0
JUMP = 3600.0
"""Seconds between two lists that are not waited for: a quiet night, or a clock of another unit."""
NOTE = "published"


def publish(
    outcome: Outcome, settings: Settings, topic: str, *, speed: float = inf, moved: Callable[[int], object]
) -> int:
    """Send the only variant's rankings to `topic` (its whole name), keyed by user, `speed` times as fast as their lists
    came; what was sent before is not sent again. Returns how many were sent. Raises BrokerError, DataError.
    """
    check_topic(settings, topic)
    (variant,) = outcome.plan.variants
    note = outcome.layout.segments / NOTE
    before = _noted(note, topic)
    with broker_errors(settings):
        producer = KafkaProducer(
            **kafka_python_connection(settings), acks="all", linger_ms=5, batch_size=256 * 1024, max_block_ms=30_000,
            max_request_size=1_100_000, allow_auto_create_topics=False,
        )  # fmt: skip
        try:
            pace, sent, futures, noted = _Pace(speed), 0, list[Any](), time.monotonic()
            for segment in outcome.segments:
                for ranking in read_part(outcome.layout.part(variant, segment)):
                    sent += 1
                    if sent <= before:
                        continue
                    pace.wait(ranking.created_at)
                    futures.append(producer.send(topic, encode(ranking), key=ranking.user_id.encode()))
                    if len(futures) == CHUNK or time.monotonic() - noted > OFTEN:
                        _confirm(futures, settings)
                        write(note, f"{topic} {sent}".encode())
                        noted = time.monotonic()
                        moved(sent)
            _confirm(futures, settings)
            write(note, f"{topic} {sent}".encode())
            moved(sent)
        finally:
            producer.close(timeout=5)
    return sent - min(before, sent)


def check_topic(settings: Settings, topic: str) -> None:
    """Raises BrokerError unless `topic` (its whole name) is there: before a long replay, not after it."""
    check_reachable(settings)
    with broker_errors(settings):
        consumer = KafkaConsumer(**kafka_python_connection(settings), group_id=None, allow_auto_create_topics=False)
        try:
            if not consumer.partitions_for_topic(topic):
                raise BrokerError(
                    f"there is no topic {topic}; make it, with as many partitions as the lists' topic has"
                )
        finally:
            consumer.close()


class _Pace:
    """Sleeps so that what was made a second apart is sent a second divided by `speed` apart."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began: tuple[float, float] | None = None
        self._last = 0.0

    def wait(self, created_at: float) -> None:
        if self._speed == inf:
            return
        now = time.monotonic()
        if self._began is None or abs(created_at - self._last) > JUMP:
            self._began = now, created_at
        self._last = created_at
        since, first = self._began
        # Lists come from many clocks: one that is behind is sent at once.
        time.sleep(max(0.0, since + (created_at - first) / self._speed - now))


def _confirm(futures: list[Any], settings: Settings) -> None:
    try:
        for future in futures:
            future.get(timeout=TIMEOUT)
    except KafkaError as error:
        raise BrokerError(f"{explained(error, settings)}; the same command goes on where it was") from error
    futures.clear()


def _noted(note: Any, topic: str) -> int:
    try:
        name, _, sent = note.read_text().rpartition(" ")
    except FileNotFoundError:
        return 0
    if not sent.isdigit():
        raise DataError(f"{note} is damaged: remove it to publish everything again")
    return int(sent) if name == topic else 0
