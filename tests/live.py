"""A live worker for tests: publish anything to it, and read all that it sends."""

import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Self

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from ranker.events import Ranking
from streams.kafka import kafka_python_connection
from streams.settings import Settings
from streams.supervise import WorkerProcess
from streams.topics import ensure_topics
from streams.wire import decode_control, decode_ranking

Place = tuple[str, int, int]
"""Topic, partition, offset."""
ITEMS = [f"i{number}" for number in range(50)]
"""The small bundle's."""
SCORES = [1.0 - number / 50 for number in range(50)]
TIMEOUT = 90.0
"""Far more than anything takes: the machine may be busy with something else."""


def live_settings(bootstrap: str, bundle: Path, **changes: Any) -> Settings:
    """Topics and a group that no other test has; a dead worker is missed after 6 s, as early as Apache Kafka allows."""
    name = f"t{uuid.uuid4().hex[:12]}"
    settings = Settings(
        kafka_bootstrap=bootstrap, topic_prefix=f"{name}.", group=name, partitions=2, monitoring_port=0, bundle=bundle,
        session_timeout=6.0, heartbeat_interval=1.5, embed_timeout=10.0,
    )  # fmt: skip
    return msgspec.structs.replace(settings, **changes)


class Outputs:
    """All that the workers of `settings` ever sent, as far as `poll` has read it."""

    TOPICS = ("rankings", "dead-letters", "controls", "vectors")

    def __init__(self, settings: Settings) -> None:
        self.rankings: dict[str, list[bytes]] = defaultdict(list)
        """By event id."""
        self.dead: dict[Place, list[Any]] = defaultdict(list)
        """By what their headers say of where the original lies."""
        self.times: dict[int, list[int]] = defaultdict(list)
        """By partition: when each ranking was written, in milliseconds."""
        self.controls: list[Any] = []
        self.vectors: list[Any] = []
        self._settings = settings
        self._consumer = KafkaConsumer(
            **kafka_python_connection(settings),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 * 2**20,
        )
        places = [TopicPartition(settings.topic(t), p) for t in self.TOPICS for p in range(settings.partitions)]
        self._consumer.assign(places)

    def poll(self, milliseconds: int = 50) -> int:
        """How many records came."""
        polled = self._consumer.poll(timeout_ms=milliseconds, max_records=5000)
        for records in polled.values():
            for record in records:
                match record.topic.removeprefix(self._settings.topic_prefix):
                    case "rankings":
                        self.rankings[decode_ranking(record.value).event_id].append(record.value)
                        self.times[record.partition].append(record.timestamp)
                    case "dead-letters":
                        about = error_headers(record)
                        self.dead[about["topic"], int(about["partition"]), int(about["offset"])].append(record)
                    case "controls":
                        self.controls.append(record)
                    case _:
                        self.vectors.append(record)
        return sum(map(len, polled.values()))

    def settle(self) -> None:
        """Read until nothing came for a second."""
        quiet = time.monotonic() + 1
        while time.monotonic() < quiet:
            if self.poll():
                quiet = time.monotonic() + 1

    def answers(self) -> dict[str, list[bytes]]:
        """What came of lists and of requests, by their ids."""
        answers, first = dict(self.rankings), dict[str, str]()
        for record in self.controls:
            if record.value is not None:
                control = decode_control(record.value)
                # One that was written again in another bundle's vectors is no repeat of what came of the request.
                if first.setdefault(control.request_id, control.bundle) == control.bundle:
                    answers.setdefault(control.request_id, []).append(record.value)
        return answers

    def written_since(self, moment: float) -> int:
        """Rankings that workers wrote from then on, as far as they were read."""
        return sum(written >= moment * 1000 for times in self.times.values() for written in times)

    def longest_pause(self) -> float:
        """Seconds between two rankings of a partition."""
        return max((b - a for times in self.times.values() for a, b in pairwise(sorted(times))), default=0) / 1000

    def until(self, done: Callable[[], bool], timeout: float = TIMEOUT) -> bool:
        """Read until `done`; whether it came to that."""
        deadline = time.monotonic() + timeout
        while not done() and time.monotonic() < deadline:
            self.poll()
        return done()

    def close(self) -> None:
        self._consumer.close()


class Live:
    """A worker, a producer of whatever bytes a test likes, and what came of them.

    As a context it has the worker serve; without, whoever makes it starts workers, and closes it.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        ensure_topics(settings)
        self.settings, self._folder, self._numbers = settings, folder, count()
        self.worker = self.another()
        self.outputs = Outputs(settings)
        self.producer = KafkaProducer(
            **kafka_python_connection(settings),
            acks="all",
            linger_ms=2,
            batch_size=256 * 1024,
            max_request_size=30 * 2**20,
            max_block_ms=30_000,
        )

    def another(self, *wrap: str) -> WorkerProcess:
        """One more worker of the fleet, not started; `wrap` goes before its command."""
        return WorkerProcess(self.settings, self._folder / f"worker{next(self._numbers)}.log", wrap=wrap)

    def send(self, topic: str, value: bytes | None, key: bytes | None = b"u", **more: Any) -> Any:
        """A future of the record's metadata."""
        return self.producer.send(self.settings.topic(topic), value, key=key, **more)

    def publish(self, topic: str, event: dict[str, Any]) -> str:
        """Publish and wait; returns the event's id."""
        key = event.get("user_id") or event["item_id"]
        self.send(topic, json.dumps(event).encode(), key.encode()).get(timeout=TIMEOUT)
        return str(event.get("event_id", key))

    def rank(self, user: str, *, timeout: float = TIMEOUT, **fields: Any) -> Ranking:
        """Publish a candidate list and wait for its ranking."""
        return self.ranking(self.publish("candidates", candidates(user, **fields)), timeout)

    def ranking(self, event_id: str, timeout: float = TIMEOUT) -> Ranking:
        """Wait for the ranking of a list."""
        assert self.outputs.until(lambda: event_id in self.outputs.rankings, timeout), f"{event_id} has no ranking"
        return decode_ranking(self.outputs.rankings[event_id][0])

    def dead_letter(self, sent: Any) -> Any:
        """Wait for the dead letter of what `send` sent."""
        where = sent.get(timeout=TIMEOUT)
        return self.dead_letter_at((where.topic, where.partition, where.offset))

    def dead_letter_at(self, place: Place) -> Any:
        """Wait for the dead letter of what lies there."""
        assert self.outputs.until(lambda: place in self.outputs.dead), f"{place} has no dead letter"
        return self.outputs.dead[place][0]

    def rank_all(self, users: list[str]) -> list[Ranking]:
        """The same for a list of each user, published together."""
        lists = [candidates(user) for user in users]
        for event in lists:
            self.send("candidates", json.dumps(event).encode(), event["user_id"].encode())
        ids = [event["event_id"] for event in lists]
        assert self.outputs.until(lambda: all(event_id in self.outputs.rankings for event_id in ids))
        return [decode_ranking(self.outputs.rankings[event_id][0]) for event_id in ids]

    def rank_until(self, holds: Callable[[Ranking], bool], user: str, **fields: Any) -> tuple[Ranking, float]:
        """Publish lists one after the other until a ranking is as wanted; that one, and the seconds that it took."""
        began = time.monotonic()
        while not holds(ranking := self.rank(user, **fields)):
            assert time.monotonic() - began < TIMEOUT, ranking
        return ranking, time.monotonic() - began

    def restart(self, *, kill: bool = False) -> None:
        """End the worker, by SIGTERM or kill -9, and start another."""
        if kill:
            self.worker.kill()
        else:
            assert self.worker.stop() == 0
        self.worker = self.another()
        self.worker.start()
        self.worker.wait_ready(TIMEOUT)

    def __enter__(self) -> Self:
        try:
            self.worker.start()
            self.worker.wait_ready(TIMEOUT)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.stop()
        self.close()

    def close(self) -> None:
        self.producer.close(timeout=5)
        self.outputs.close()


def candidates(user: str, **fields: Any) -> dict[str, Any]:
    """The small bundle's items, unless `fields` say otherwise."""
    event = {"event_id": new_id(), "user_id": user, "item_ids": ITEMS, "base_scores": SCORES, "created_at": time.time()}
    return event | fields


def request(user: str, text: str | None, **fields: Any) -> dict[str, Any]:
    """A `set`, or without a text a `clear`."""
    event = {"event_id": new_id(), "user_id": user, "op": "set" if text else "clear", "created_at": time.time()}
    return event | ({"text": text} if text else {}) | fields


def error_headers(record: Any) -> dict[str, str]:
    """What a dead letter says about itself."""
    prefix = "ctrlrec.error."
    return {name[len(prefix) :]: value.decode() for name, value in record.headers if name.startswith(prefix)}


def new_id() -> str:
    return uuid.uuid4().hex
