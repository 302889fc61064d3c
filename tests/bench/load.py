"""Putting events into topics and taking rankings out of them, by librdkafka: cheaper than what it measures."""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Self

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from ranker.events import CandidateList
from streams.settings import Settings
from streams.wire import encode

TIMEOUT = 60.0
FETCH = 2_000


class Publisher:
    """Sends to one topic; what belongs to user number n goes to partition n modulo their number, as its control does."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, **options: Any) -> None:
        settings = {
            "bootstrap.servers": bootstrap,
            "linger.ms": 5,
            "queue.buffering.max.messages": 500_000,
            "log_level": 0,
        }
        self._producer = Producer(settings | options)
        self._topic, self._partitions, self._failed = topic, partitions, 0

    def send(self, number: int, key: str, value: bytes | None, then: Callable[[], None] | None = None) -> None:
        """`then` is called once the broker has acknowledged it, while this sends or polls."""
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    value,
                    key.encode(),
                    number % self._partitions,
                    on_delivery=partial(self._delivered, then),
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                break
        self._producer.poll(0)

    def poll(self) -> None:
        self._producer.poll(0)

    def flush(self) -> None:
        """Raises RuntimeError unless everything has arrived."""
        if self._producer.flush(TIMEOUT) or self._failed:
            raise RuntimeError(f"not everything could be sent to {self._topic}")

    def _delivered(self, then: Callable[[], None] | None, error: object, _message: object) -> None:
        self._failed += error is not None
        if then and error is None:
            then()


def publish_singly(bootstrap: str, topic: str, partitions: int, events: Iterable[tuple[str, bytes]]) -> None:
    """Each event in a batch of its own: the embedded broker only knows where the last batch of a topic begins."""
    publisher = Publisher(bootstrap, topic, partitions, **{"batch.num.messages": 1, "linger.ms": 0})
    for number, (key, value) in enumerate(events):
        publisher.send(number, key, value)
    publisher.flush()


def publish_lists(settings: Settings, lists: Sequence[CandidateList], count: int) -> None:
    """So many lists, `lists` again and again, each with an id of its own."""
    publisher = Publisher(settings.kafka_bootstrap, settings.topic("candidates"), settings.partitions)
    for number in range(count):
        event = msgspec.structs.replace(lists[number % len(lists)], event_id=f"e{number}")
        publisher.send(number, event.user_id, encode(event))
    publisher.flush()


class Arrivals:
    """Values of a topic, in the order of their arrival, from its beginning on."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "bench",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
                "queued.min.messages": 20_000,
                "log_level": 0,
            }
        )
        self._consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(partitions)])
        self._topic = topic

    def take(self, timeout: float) -> list[bytes]:
        """What has arrived; waits at most `timeout` seconds for any."""
        messages = self._consumer.consume(1, timeout)
        messages += self._consumer.consume(FETCH, 0) if messages else []
        for message in messages:
            if message.error():
                raise RuntimeError(f"reading {self._topic}: {message.error()}")
        return [message.value() for message in messages]

    def wait(self, alive: Any) -> list[bytes]:
        """As `take`, until something has arrived. Raises RuntimeError if `alive()` fails or a minute has passed."""
        deadline = time.monotonic() + TIMEOUT
        while not (values := self.take(0.5)):
            if not alive():
                raise RuntimeError("the process that was measured has ended")
            if time.monotonic() > deadline:
                raise RuntimeError(f"nothing came to {self._topic} for {TIMEOUT:.0f} s")
        return values

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()
