"""Workers that are killed, join and leave under load: nothing is missing, and repeats are equal."""

import json
import os
import random
import time
from collections.abc import Callable

import pytest

from tests.faults.fleet import Fleet
from tests.live import TIMEOUT, candidates, new_id, request
from tests.oracle import Account

pytestmark = pytest.mark.faults

KILLS = int(os.environ.get("KILLS", "2"))
"""`make test-faults KILLS=20` for the long version."""


def test_kill_9_mid_batch(sturdy: str, fleets: Callable[..., Fleet]) -> None:
    fleet, rng = fleets(sturdy), random.Random()
    worker = fleet.join()
    fleet.under_load()
    bound, unfinished = 0, []
    for _ in range(KILLS):
        fleet.read(rng.uniform(0, 1.5))
        worker.kill()
        bound += fleet.load.done_before_commit()
        unfinished.append(len(fleet.load.account().missing))
        worker = fleet.join()
    fleet.load.stop()
    repeats = fleet.load.check(f"kill -9, {KILLS} times")
    print(f"{unfinished} lists waited; at most {bound} repeats expected")
    assert min(unfinished) > 0
    assert repeats <= bound
    assert worker.stop() == 0


def test_workers_come_and_go(sturdy: str, fleets: Callable[..., Fleet]) -> None:
    fleet = fleets(sturdy)
    first = fleet.join()
    fleet.under_load()
    second = fleet.join()
    fleet.read(1)
    second.kill()
    third = fleet.join()
    fleet.read(1)
    assert third.stop() == 0
    fleet.read(1)
    fleet.load.stop()
    fleet.load.check("workers join, die and leave")
    assert first.process.poll() is None
    settings, pause = fleet.live.settings, fleet.live.outputs.longest_pause()
    print(f"longest pause of a partition: {pause:.1f} s")
    assert pause < settings.session_timeout + settings.rebalance_timeout


def test_a_control_is_kept_from_its_acknowledgement_on(sturdy: str, fleets: Callable[..., Fleet]) -> None:
    """kill -9 at once after the broker has acknowledged the last of many requests."""
    fleet = fleets(sturdy, partitions=2)
    live, worker = fleet.live, fleet.join()
    inputs: dict[tuple[str, int, int], str | None] = {}
    wishes: dict[str, str] = {}
    for _ in range(KILLS):
        for number in range(60):
            wish = request(new_id(), f"wish {number}")
            sent = live.send("requests", json.dumps(wish).encode(), wish["user_id"].encode())
            where = sent.get(timeout=TIMEOUT)
            inputs[where.topic, where.partition, where.offset] = wish["event_id"]
            wishes[wish["user_id"]] = wish["event_id"]
        worker.kill()
        worker = fleet.join()
    began = time.monotonic()
    waiting = set(wishes)
    while waiting and time.monotonic() < began + TIMEOUT:
        waiting -= {
            ranking.user_id for ranking in live.rank_all(list(waiting)) if ranking.request_id == wishes[ranking.user_id]
        }
    assert waiting == set()
    Account.of(inputs, live.outputs.answers(), live.outputs.dead).check("control kept over kill -9")
    # And no list is ranked without it, once it was ranked with it.
    worker.kill()
    fleet.join()
    assert all(ranking.request_id == wishes[ranking.user_id] for ranking in live.rank_all(list(wishes)))


def test_offsets_that_are_reset_repeat_equal_bytes(sturdy: str, fleets: Callable[..., Fleet]) -> None:
    fleet = fleets(sturdy, partitions=2)
    live, worker = fleet.live, fleet.join()
    fleet.load.ask()
    inputs: dict[tuple[str, int, int], str | None] = {}
    for number in range(300):
        event = candidates(f"reader {number % 100}", request="ghosts" if number % 5 == 0 else None)
        raw = json.dumps(event).encode() if number % 10 else b'{"event_id": '
        for _ in range(2):  # each event is sent twice
            where = live.send("candidates", raw, event["user_id"].encode()).get(timeout=TIMEOUT)
            inputs[where.topic, where.partition, where.offset] = event["event_id"] if number % 10 else None

    def account() -> Account:
        return Account.of(inputs, live.outputs.answers(), live.outputs.dead)

    assert live.outputs.until(lambda: not account().missing)
    assert account().repeats == 0
    assert worker.stop() == 0
    fleet.reset_offsets()
    fleet.join()
    assert live.outputs.until(lambda: account().repeats >= len(inputs))
    assert account().check("each event twice, then offsets reset") == len(inputs)
