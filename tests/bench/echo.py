"""What the way to a worker and back takes by itself: lists are answered as they come, unread, by librdkafka.

At least once as the worker is, and with answers of about the size of its rankings.
"""

import signal
import time

from confluent_kafka import Consumer, Producer

from streams.settings import Settings
from tests.bench.contenders import OUTPUT

SHARE = 3
"""A ranking has a third of its list's bytes: it repeats no scores."""
MOST = 500


def main() -> None:
    settings = Settings.from_environment()
    server = {"bootstrap.servers": settings.kafka_bootstrap}
    consumer = Consumer(
        server
        | {
            "group.id": settings.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": round(settings.fetch_wait * 1000),
        }
    )
    producer = Producer(server | {"acks": "all", "linger.ms": 1})
    consumer.subscribe([settings.topic("candidates")])
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    committed = time.monotonic()
    while not stopped:
        messages = consumer.consume(1, 0.01)
        for message in messages + (consumer.consume(MOST, 0) if messages else []):
            if message.error() is None:
                answer = _answer(message.value())
                producer.produce(settings.topic(OUTPUT), answer, message.key(), message.partition())
        producer.poll(0)
        if time.monotonic() > committed + settings.commit_interval:
            producer.flush()
            consumer.commit(asynchronous=True)
            committed = time.monotonic()
    consumer.close()


def _answer(value: bytes) -> bytes:
    """When the list was made, and what makes it as long as a ranking."""
    made = value.rpartition(b'"created_at":')[2].partition(b",")[0]
    return b'{"created_at":%s,"filler":"%s"}' % (made, b"." * (len(value) // SHARE))


if __name__ == "__main__":
    main()
