"""Workers that are killed, join and leave under load: nothing is missing, and repeats are equal."""

import json
import os
import random
import time
from collections.abc import Callable

import pytest

from tests.faults.fleet import Fleet
from tests.live import TIMEOUT, candidates, new_id, request
from tests.oracle import Account, Place

pytestmark = pytest.mark.faults

KILLS, CONTROL_KILLS = int(os.environ.get("KILLS", "20")), 3
"""While lists come, and right after a request's acknowledgement."""


@pytest.mark.timeout(900)
def test_kill_9_mid_batch(sturdy: str, fleets: Callable[..., Fleet]) -> None:
    """Repeated is at most what was in flight, or done since the last commit. Over all kills that is less than what was written
    in the last two commit intervals before each: a loaded machine may commit late before one of them."""
    fleet, rng = fleets(sturdy, session_timeout=4, heartbeat_interval=1), random.Random()
    outputs, interval = fleet.live.outputs, fleet.live.settings.commit_interval
    worker = fleet.join()
    fleet.under_load()
    bound, unfinished, seconds, done, recent, written = 0, [], 0.0, set[Place](), 0, 0
    for _ in range(KILLS):
        fleet.read(rng.uniform(0, 1.5))
        killed = time.time()
        worker.kill()
        before, done = done, fleet.load.done_before_commit()
        recent += sum(place not in outputs.dead for place in done - before)
        written += outputs.written_since(killed - 2 * interval)
        bound += len(done)
        unfinished.append(len(fleet.load.account().missing))
        began = time.monotonic()
        worker = fleet.join()
        seconds += time.monotonic() - began
    fleet.load.stop()
    repeats = fleet.load.check(f"kill -9, {KILLS} times")
    print(f"{unfinished} lists waited; at most {bound} repeats expected; {seconds / KILLS:.1f} s to be back")
    print(f"{recent} rankings since the last commits, {written} in the last {2 * interval:g} s before the kills")
    assert min(unfinished) > 0
    assert recent <= written
    assert repeats <= bound
    assert worker.stop() == 0


def test_workers_come_and_go(sturdy: str, fleets: Callable[..., Fleet]) -> None:
    fleet = fleets(sturdy)
    first = fleet.join()
    fleet.under_load()
    second = fleet.join()
    fleet.read(1)
    fleet.load.check_commits()
    second.kill()
    third = fleet.join()
    fleet.read(1)
    fleet.load.check_commits()
    assert third.stop() == 0
    fleet.read(1)
    fleet.load.check_commits()
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
    for _ in range(CONTROL_KILLS):
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
