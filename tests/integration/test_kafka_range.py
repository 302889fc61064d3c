"""Which offsets of live topics a replay reads."""

import time

import pytest

from ranker.errors import ConfigError
from streams.settings import Settings


def test_since_chooses_lists_and_not_the_requests_before(settings: Settings) -> None:
    from kafka import KafkaProducer

    from streams.kafka import kafka_python_connection
    from streams.replay.kafkarange import settle
    from streams.replay.sources import Log
    from streams.topics import ensure_topics

    ensure_topics(settings)
    producer = KafkaProducer(**kafka_python_connection(settings), acks="all", linger_ms=50)
    times = []
    for _ in range(6):
        # The embedded broker goes by when it got a record; Kafka by when it was sent.
        times.append(time.time())
        time.sleep(0.05)
        for topic in ("requests", "candidates"):
            producer.send(settings.topic(topic), b"{}", partition=0).get(timeout=10)
        time.sleep(0.05)

    def settled(log: Log) -> dict[tuple[str, int], tuple[int, int]]:
        return {(kind, partition): (first, end) for kind, partition, first, end in settle(log, settings)}

    for since, until, requests, lists in (
        (times[4], None, (0, 6), (4, 6)),
        (times[2], times[4], (0, 4), (2, 4)),
        (times[0] - 9, time.time() + 9, (0, 6), (0, 6)),
        (time.time() + 9, None, (0, 6), (6, 6)),
    ):
        ends = settled(Log("kafka", since, until))
        assert (ends["requests", 0], ends["candidates", 0], ends["candidates", 1]) == (requests, lists, (0, 0))
    assert settled(Log("kafka", ranges=("candidates[0]@2-4",)))["candidates", 0] == (2, 5)
    for _ in range(5):
        producer.send(settings.topic("candidates"), b"{}", partition=1)
    producer.flush()  # one batch: the embedded broker says that the topic ends where it begins
    for since, lists in ((time.time() + 9, (5, 5)), (times[0], (0, 5))):
        assert settled(Log("kafka", since))["candidates", 1] == lists
    producer.close(timeout=5)
    with pytest.raises(ConfigError, match=r"there is no candidates\[7\]"):
        settle(Log("kafka", ranges=("candidates[7]@2-5",)), settings)
