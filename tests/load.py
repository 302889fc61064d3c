"""Candidate lists in a steady stream, and the account of what became of each."""

import json
import random
import threading
import time
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from ranker.events import Ranking
from streams.kafka import kafka_python_connection
from streams.scan import scan
from streams.wire import decode_ranking
from tests.live import TIMEOUT, Live, candidates, error_headers, request
from tests.oracle import Account, Place, finished_before

READERS = 100


class Load(threading.Thread):
    """Publishes `rate` lists a second from `start` to `stop`, of readers who all have a request; one in ten is bad."""

    def __init__(self, live: Live, rate: float) -> None:
        super().__init__(daemon=True)
        self._live, self._rate, self._stopped, self._rng = live, rate, threading.Event(), random.Random(3)
        self._sent: list[tuple[str | None, Any]] = []
        self._values: dict[bytes, str | None] = {}
        self.wishes: dict[str, str] = {}
        """Reader → the id of the request that every ranking must follow."""

    def ask(self) -> None:
        """Give every reader a request, and wait until it is followed."""
        for reader in range(READERS):
            wish = request(f"reader {reader}", f"wish {reader}")
            self.wishes[wish["user_id"]] = wish["event_id"]
            self._live.send("requests", json.dumps(wish).encode(), wish["user_id"].encode())
        self._live.producer.flush(timeout=TIMEOUT)
        while not all(map(self._steered, self._live.rank_all(list(self.wishes)))):
            pass

    def run(self) -> None:
        began = time.monotonic()
        while not self._stopped.wait(0.02):
            due = int((time.monotonic() - began) * self._rate)
            while len(self._sent) < due:
                self._publish()

    def _publish(self) -> None:
        user = f"reader {self._rng.randrange(READERS)}"
        n = self._rng.randrange(20, 51)
        event = candidates(user)
        event |= {"item_ids": event["item_ids"][:n], "base_scores": event["base_scores"][:n]}
        event_id = event["event_id"] if self._rng.random() < 0.9 else None
        if event_id is None:
            event["weight"] = "heavy"
        value = json.dumps(event).encode()
        self._values[value] = event_id
        self._sent.append((event_id, self._live.send("candidates", value, user.encode())))

    def abandon(self) -> None:
        """Publish no more, whatever became of it."""
        self._stopped.set()
        if self.is_alive():
            self.join()

    def stop(self) -> None:
        """Publish no more; all that was is confirmed when this returns."""
        self.abandon()
        self._live.producer.flush(timeout=TIMEOUT)

    @property
    def inputs(self) -> dict[tuple[str, int, int], str | None]:
        """Place → event id, or None for a bad list, of those that are confirmed."""
        done = [(event_id, future.value) for event_id, future in list(self._sent) if future.succeeded()]
        return {(m.topic, m.partition, m.offset): event_id for event_id, m in done}

    def account(self) -> Account:
        """As far as the outputs were read."""
        return Account.of(self.inputs, self._live.outputs.rankings, self._live.outputs.dead)

    def check_commits(self) -> None:
        """Assert that whatever lies before a committed offset has an outcome, while workers go on."""
        committed = self.committed("candidates")
        assert self._live.outputs.until(lambda: not finished_before(committed, self.account().missing))

    def done_before_commit(self) -> set[Place]:
        """Inputs that have an outcome and lie beyond the committed offsets, with no worker running: what will be repeated.

        Asserts that there is none without an outcome before them.
        """
        self._live.outputs.settle()
        committed, missing = self.committed("candidates"), self.account().missing
        assert finished_before(committed, missing) == []
        beyond = {place for place in self.inputs if place[2] >= committed[place[:2]]}
        return beyond - set(missing)

    def committed(self, topic: str) -> dict[tuple[str, int], int]:
        """The group's offsets, by topic and partition, of `candidates`, `requests` or `items`."""
        settings, name = self._live.settings, self._live.settings.topic(topic)
        consumer = KafkaConsumer(**kafka_python_connection(settings), group_id=settings.group, enable_auto_commit=False)
        try:
            return {(name, p): consumer.committed(TopicPartition(name, p)) or 0 for p in range(settings.partitions)}
        finally:
            consumer.close()

    def check(self, name: str, timeout: float = TIMEOUT) -> int:
        """Wait for the last outcome, and assert that all is well with all of them; how many repeats there were."""
        outputs, inputs = self._live.outputs, self._lying()

        def account() -> Account:
            return Account.of(inputs, outputs.rankings, outputs.dead)

        outputs.until(lambda: not account().missing, timeout)
        outputs.until(lambda: False, 2)
        assert [future.exception for _, future in self._sent if not future.succeeded()] == []
        assert len(inputs) >= len(self._sent)
        assert account().letters == sum(event_id is None for event_id in inputs.values())
        for place in (place for place, event_id in inputs.items() if event_id is None):
            about = error_headers(outputs.dead[place][0])
            assert (about["class"], "`$.weight`" in about["message"]) == ("schema", True), about
        repeats = account().check(name)
        answers = (outputs.rankings[event_id][0] for event_id in inputs.values() if event_id is not None)
        assert [ranking for answer in answers if not self._steered(ranking := decode_ranking(answer))] == []
        return repeats

    def _lying(self) -> dict[tuple[str, int, int], str | None]:
        """Place → event id, or None for a bad list, of all that the broker has. A producer whose connection is cut sends
        again; then one list may lie at two places, and what its future says of the place may be nothing."""
        return {
            (record.topic, record.partition, record.offset): self._values[record.value]
            for record in scan(self._live.settings, "candidates")
            if record.value in self._values
        }

    def _steered(self, ranking: Ranking) -> bool:
        return ranking.request_id == self.wishes[ranking.user_id]
