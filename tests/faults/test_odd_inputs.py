"""Inputs that are broken, from another time, or far too large: one dead letter each, or a ranking like any other."""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import psutil
import pytest
from kafka import KafkaProducer

from ranker.events import Ranking
from streams.kafka import kafka_python_connection
from tests.events import bad_events, odd_lists
from tests.faults.fleet import Fleet
from tests.live import ITEMS, TIMEOUT, candidates, error_headers, new_id, request
from tests.oracle import Account, Place

pytestmark = pytest.mark.faults

DAY = 86_400
MEGABYTE = 10**6


@pytest.fixture
def fleet(embedded: str, fleets: Callable[..., Fleet]) -> Fleet:
    """With one worker; on the embedded broker, since Apache Kafka itself refuses what is too large as it is sent."""
    fleet = fleets(embedded, partitions=2, max_ranking_bytes=20_000)
    fleet.join()
    return fleet


class Sent:
    """Inputs, by where they lie."""

    def __init__(self, fleet: Fleet, producer: KafkaProducer | None = None) -> None:
        self._live = fleet.live
        self._producer = producer or fleet.live.producer
        self.inputs: dict[Place, str | None] = {}

    def put(self, topic: str, value: bytes | None, event_id: str | None, key: bytes | None = b"u") -> Place:
        """`event_id` of what must be answered; None for what must become a dead letter."""
        where = self._producer.send(self._live.settings.topic(topic), value, key=key).get(timeout=TIMEOUT)
        place = where.topic, where.partition, where.offset
        self.inputs[place] = event_id
        return place

    def put_list(self, event: dict[str, Any]) -> Place:
        return self.put("candidates", json.dumps(event).encode(), event["event_id"], event["user_id"].encode())

    def account(self) -> Account:
        return Account.of(self.inputs, self._live.outputs.answers(), self._live.outputs.dead)

    def check(self, name: str) -> None:
        """No input is repeated here, so that no outcome may be."""
        self._live.outputs.until(lambda: not self.account().missing)
        self._live.outputs.until(lambda: False, 1)
        assert self.account().check(name) == 0


def test_poison(fleet: Fleet) -> None:
    sent = Sent(fleet)
    for bad in bad_events():
        sent.put(bad.topic, bad.value, None, bad.key)
        sent.put_list(candidates(new_id()))
    for odd in odd_lists():
        sent.put_list(odd.event)
    sent.check("poison, and what is merely odd")
    assert fleet.worker.process.poll() is None


def test_clock_skew(fleet: Fleet) -> None:
    """Event times of ± 1 day, 0 and below: nothing is dropped; what comes from the future is counted, and what comes from the
    past is among the oldest."""
    sent, live = Sent(fleet), fleet.live
    moments = {"now": time.time(), "tomorrow": time.time() + DAY, "yesterday": time.time() - DAY, "0": 0.0, "-1": -1.0}
    wishes = {}
    for name, moment in moments.items():
        wish = request(f"{name} {new_id()}", "ghosts", created_at=moment)
        sent.put("requests", json.dumps(wish).encode(), wish["event_id"], wish["user_id"].encode())
        wishes[wish["user_id"]] = wish["event_id"], moment
    for user, (event_id, moment) in wishes.items():
        ranking, _ = live.rank_until(partial(_follows, event_id), user, created_at=moment)
        assert ranking.created_at == moment
        for _ in range(10):
            sent.put_list(candidates(user, created_at=moment))
    sent.check("clock skew: ± 1 day, 0, negative")
    metrics = fleet.worker.metrics()
    assert metrics['feedranker_clock_skew_events_total{topic="candidates"}'] >= 10
    assert metrics['feedranker_clock_skew_events_total{topic="requests"}'] == 1
    for topic, from_past in (("candidates", 30), ("requests", 3)):
        ages = sorted(
            (float(name.split('le="')[1].split('"')[0]), count)
            for name, count in metrics.items()
            if name.startswith("feedranker_event_age_seconds_bucket{") and f'topic="{topic}"' in name
        )
        assert ages[-1][1] - ages[-2][1] >= from_past  # older than the last bound but infinity


def _follows(event_id: str, ranking: Ranking) -> bool:
    return ranking.request_id == event_id


def test_no_more_late_items_than_there_is_room_for(embedded: str, fleets: Callable[..., Fleet]) -> None:
    """However quickly they come, and after a restart; what is deleted makes room."""
    fleet = fleets(embedded, partitions=1, late_items=5)
    worker, live = fleet.join(), fleet.live

    def publish(count: int) -> list[Place]:
        items = [{"item_id": new_id(), "text": f"river ghosts {number}"} for number in range(count)]
        values = [(json.dumps(item).encode(), str(item["item_id"]).encode()) for item in items]
        futures = [live.send("items", value, key) for value, key in values]
        return [
            (where.topic, where.partition, where.offset) for where in (each.get(timeout=TIMEOUT) for each in futures)
        ]

    def refused(places: list[Place]) -> list[Place]:
        def outcomes() -> int:  # some come twice, after the kill
            return len({record.key for record in live.outputs.vectors}) + sum(
                each in live.outputs.dead for each in every
            )

        assert live.outputs.until(lambda: outcomes() >= len(every))
        return [place for place in places if place in live.outputs.dead]

    def publish_one() -> list[Place]:
        one = publish(1)
        every.extend(one)
        return one

    every = publish(100)
    assert len(refused(every)) == 95
    worker.kill()
    fleet.join()
    every += (more := publish(3))
    assert refused(more) == more
    about = error_headers(live.outputs.dead[more[0]][0])
    assert about["class"] == "too_large"
    assert "CTRLREC_LATE_ITEMS is 5" in about["message"]
    gone = next(record.key for record in live.outputs.vectors)
    live.send("items", None, gone).get(timeout=TIMEOUT)
    assert live.outputs.until(lambda: any(each.key == gone and each.value is None for each in live.outputs.vectors))
    deadline = time.monotonic() + TIMEOUT  # until the worker has read of it, too
    while refused(last := publish_one()) and time.monotonic() < deadline:
        pass
    assert last[0] not in live.outputs.dead


def test_oversize(fleet: Fleet) -> None:
    sent, live = Sent(fleet), fleet.live
    process = psutil.Process(fleet.worker.process.pid)
    before, padded = process.memory_info().rss, {}
    for size in (0.85, 0.95, 1.1, 20):
        event = candidates(new_id())
        value = json.dumps(event | {"unknown": "x" * int(size * MEGABYTE)}).encode()
        place = sent.put("candidates", value, event["event_id"] if size < 0.9 else None)
        padded[place] = value
        sent.put_list(candidates(new_id()))
    for huge in (
        candidates(new_id(), item_ids=[f"i{n}" for n in range(MEGABYTE)], base_scores=list(range(MEGABYTE))),
        candidates(new_id(), request="x" * 20 * MEGABYTE),
    ):
        value = json.dumps(huge).encode()
        padded[sent.put("candidates", value, None)] = value
    long = [f"{item}{'.' * 100}" for item in [*ITEMS, *range(200)]]
    event = candidates(new_id(), item_ids=long, base_scores=list(range(len(long))))
    out = sent.put("candidates", json.dumps(event).encode(), None)
    sent.check("0.9, 1.1 and 20 MB in, and too much out")
    growth = (process.memory_info().rss - before) / MEGABYTE
    print(f"the worker grew by {growth:.0f} MB for {sum(map(len, padded.values())) / MEGABYTE:.0f} MB of inputs")
    assert growth < 200
    for place, value in padded.items():
        if sent.inputs[place] is None:
            (letter,) = live.outputs.dead[place]
            about = error_headers(letter)
            assert about["class"] == "too_large"
            assert about["payload-sha256"] == hashlib.sha256(value).hexdigest()
            assert len(letter.value) == 500_000
            assert value.startswith(letter.value)
    about = error_headers(live.outputs.dead[out][0])
    assert (about["class"], "its ranking has" in about["message"]) == ("too_large", True)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_what_is_small_while_it_is_compressed(sturdy: str, fleets: Callable[..., Fleet], codec: str) -> None:
    """A broker limits what is sent to it: of that, 20 MB of one letter are little."""
    fleet = fleets(sturdy, partitions=2)
    worker, live = fleet.join(), fleet.live
    producer = KafkaProducer(
        **kafka_python_connection(live.settings), acks="all", compression_type=codec, max_request_size=30 * 2**20
    )
    with closing(producer):
        sent, process = Sent(fleet, producer), psutil.Process(worker.process.pid)
        before = process.memory_info().rss
        for _ in range(5):
            for huge in (
                candidates(new_id(), request="x" * 20 * MEGABYTE),
                candidates(new_id(), item_ids=["i1"] * MEGABYTE, base_scores=[1] * MEGABYTE),
            ):
                place = sent.put("candidates", json.dumps(huge).encode(), None)
                sent.put_list(candidates(new_id()))
                assert error_headers(live.dead_letter_at(place))["class"] == "too_large"
    sent.check(f"20 MB at a time, {codec}")
    growth = (process.memory_info().rss - before) / MEGABYTE
    print(f"the worker grew by {growth:.0f} MB")
    assert growth < 200
