"""The soak's account: what became of each of its lists."""

import hashlib
import json
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from streams.settings import Settings
from streams.wire import decode_ranking

READER_SILENT = 15.0
"""Seconds without an outcome after which the reader connects anew: after many restarts of its broker it stays silent."""


class Account:
    """What became of list number n: a digest of its ranking, and how often it came."""

    def __init__(self, settings: Settings) -> None:
        self.seen: dict[int, bytes] = {}
        self.repeats = self.unlike = self.letters = 0
        self._options = {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": "soak",
            "enable.auto.commit": False,
            "log_level": 0,
        }
        self._rankings, topics = (
            settings.topic("rankings"),
            (settings.topic("rankings"), settings.topic("dead-letters")),
        )
        self._candidates = settings.topic("candidates").encode()
        self._next = {(topic, p): OFFSET_BEGINNING for topic in topics for p in range(settings.partitions)}
        """The offset to go on from, by topic and partition."""
        self._connect()

    def _connect(self) -> None:
        self._consumer, self._heard = Consumer(self._options), time.monotonic()
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._next.items()])

    def read(self, seconds: float) -> int:
        """Read for so long, or until there is no more; how many outcomes came."""
        found, deadline = 0, time.monotonic() + seconds
        while time.monotonic() < deadline:
            for message in self._consumer.consume(1_000, 0.05):
                if message.error():  # the broker is away
                    continue
                found += 1
                self._next[message.topic(), message.partition()] = message.offset() + 1
                self._note(message)
        if found:
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard > READER_SILENT:
            self._consumer.close()
            self._connect()
        return found

    def _note(self, message: object) -> None:
        value: bytes = message.value()  # type: ignore[attr-defined]
        if message.topic() == self._rankings:  # type: ignore[attr-defined]
            number, digest = int(decode_ranking(value).event_id[1:]), hashlib.sha256(value).digest()[:8]
        else:
            about = dict(message.headers())  # type: ignore[attr-defined]
            if about["ctrlrec.error.topic"] != self._candidates:
                return
            number, digest = json.loads(value)["number"], b"dead"
            self.unlike += about["ctrlrec.error.class"] != b"schema"
            self.letters += number not in self.seen
        known = self.seen.setdefault(number, digest)
        if known is not digest:
            self.repeats += 1
            self.unlike += known != digest
