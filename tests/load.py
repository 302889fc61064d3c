"""Candidate lists in a steady stream, and the account of what became of each."""

import json
import random
import threading
import time
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from ranker.events import Ranking
from streams.kafka import kafka_python_connection
from streams.wire import decode_ranking
from tests.live import TIMEOUT, Live, candidates, request

READERS = 100


class Load(threading.Thread):
    """Publishes `rate` lists a second from `start` to `stop`, of readers who all have a request; one in ten is bad."""

    def __init__(self, live: Live, rate: float) -> None:
        super().__init__(daemon=True)
        self._live, self._rate, self._stopped, self._rng = live, rate, threading.Event(), random.Random(3)
        self._sent: list[tuple[str | None, Any]] = []
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
        self._sent.append((event_id, self._live.send("candidates", json.dumps(event).encode(), user.encode())))

    def stop(self) -> None:
        """Publish no more; all that was is confirmed when this returns."""
        self._stopped.set()
        self.join()
        self._live.producer.flush(timeout=TIMEOUT)

    @property
    def inputs(self) -> dict[tuple[str, int, int], str | None]:
        """Place → event id, or None for a bad list, of those that are confirmed."""
        done = [(event_id, future.value) for event_id, future in list(self._sent) if future.succeeded()]
        return {(m.topic, m.partition, m.offset): event_id for event_id, m in done}

    def missing(self) -> list[tuple[str, int, int]]:
        """Where the inputs lie that have no outcome yet, as far as it was read."""
        rankings, dead = self._live.outputs.rankings, self._live.outputs.dead
        return [place for place, event_id in self.inputs.items() if place not in dead and event_id not in rankings]

    def done_before_commit(self) -> int:
        """How many inputs have an outcome beyond the committed offsets, with no worker running.

        Asserts that there is none without an outcome before them.
        """
        outputs = self._live.outputs
        quiet = time.monotonic() + 1
        while time.monotonic() < quiet:
            before = len(outputs.rankings)
            outputs.poll()
            quiet = quiet if len(outputs.rankings) == before else time.monotonic() + 1
        committed, missing = self._committed(), set(self.missing())
        assert [place for place in missing if place[2] < committed[place[1]]] == []
        return sum(place not in missing and place[2] >= committed[place[1]] for place in self.inputs)

    def _committed(self) -> list[int]:
        settings = self._live.settings
        consumer = KafkaConsumer(**kafka_python_connection(settings), group_id=settings.group, enable_auto_commit=False)
        try:
            topic = settings.topic("candidates")
            return [consumer.committed(TopicPartition(topic, p)) or 0 for p in range(settings.partitions)]
        finally:
            consumer.close()

    def check(self) -> int:
        """Wait for the last outcome. Asserts that none is missing and that repeats are equal; how many there were."""
        outputs = self._live.outputs
        outputs.until(lambda: len(outputs.rankings) + len(outputs.dead) >= len(self._sent) and not self.missing())
        outputs.until(lambda: False, 2)
        missing = self.missing()
        answers = {e: outputs.rankings[e] for e in self.inputs.values() if e in outputs.rankings}
        letters = [outputs.dead[place] for place in self.inputs if place in outputs.dead]
        repeats = sum(map(len, answers.values())) - len(answers) + sum(map(len, letters)) - len(letters)
        print(
            f"inputs {len(self._sent)}, rankings {len(answers)}, dead letters {len(letters)}, "
            f"missing {len(missing)}, repeats {repeats}"
        )
        assert missing == []
        assert len(self.inputs) == len(self._sent) == len(answers) + len(letters)
        unlike = [payloads for payloads in answers.values() if len(set(payloads)) > 1]
        assert unlike == []
        assert all(len({letter.value for letter in copies}) == 1 for copies in letters)
        unsteered = [
            ranking for payloads in answers.values() if not self._steered(ranking := decode_ranking(payloads[0]))
        ]
        assert unsteered == []
        return repeats

    def _steered(self, ranking: Ranking) -> bool:
        return ranking.request_id == self.wishes[ranking.user_id]
