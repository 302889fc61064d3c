"""Workers that are killed, join and leave under load: nothing is missing, and repeats are equal."""

import json
import os
import random
import time
from collections.abc import Callable

import pytest

from streams.scan import scan
from streams.wire import decode_request
from tests.faults.fleet import Fleet
from tests.faults.standing import Standing
from tests.live import TIMEOUT, candidates
from tests.oracle import Account, Place, finished_before

pytestmark = pytest.mark.faults

KILLS, CONTROL_KILLS = int(os.environ.get("KILLS", "20")), 3
"""While lists come, and right after a request's acknowledgement."""
CYCLES = 4
"""In each, a second worker joins and dies, and another joins and leaves: a quarter of a minute."""


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
    standing = Standing(fleet.live)
    settings, outputs = fleet.live.settings, fleet.live.outputs
    most = settings.session_timeout + settings.rebalance_timeout
    first = fleet.join()
    fleet.under_load()
    began = time.monotonic()

    def lists_flow() -> None:
        fleet.read(1)
        fleet.load.check_commits()
        assert outputs.longest_pause() < most

    for cycle in range(CYCLES):
        second = fleet.join()
        lists_flow()
        second.kill()
        if cycle == 1:
            standing.publish_many()
        third = fleet.join()
        lists_flow()
        assert third.stop() == 0
        lists_flow()
    seconds = time.monotonic() - began
    fleet.load.stop()
    fleet.load.check(f"workers join, die and leave, {CYCLES} times")
    assert first.process.poll() is None
    print(f"{seconds / CYCLES:.1f} s each; longest pause of a partition: {outputs.longest_pause():.1f} s")
    assert outputs.longest_pause() < most
    standing.check("controls and items meanwhile")


def test_a_control_is_kept_from_its_acknowledgement_on(sturdy: str, fleets: Callable[..., Fleet]) -> None:
    """kill -9 right after the broker has acknowledged the last of many requests, withdrawals, items and deletions."""
    # Often, so that much is committed, and what is committed too early is found.
    fleet = fleets(sturdy, partitions=2, commit_interval=0.1)
    live, worker, standing, unfinished = fleet.live, fleet.join(), Standing(fleet.live), []
    for kill in range(CONTROL_KILLS):
        standing.publish_many()
        time.sleep(0.02 * kill)  # the first time nothing of the last burst is done, and then some of it
        worker.kill()
        live.outputs.settle()
        missing = standing.account().missing
        committed = fleet.load.committed("requests") | fleet.load.committed("items")
        assert finished_before(committed, missing) == []
        unfinished.append(len(missing))
        worker = fleet.join()
    assert all(committed.values())
    standing.check("controls and items kept over kill -9")
    print(f"{unfinished} requests and items waited; committed then: {sorted(committed.values())}")
    # And no list is ranked without them, once it was ranked with them.
    worker.kill()
    fleet.join()
    assert standing.amiss() == []


def test_offsets_that_are_reset_repeat_equal_bytes(sturdy: str, fleets: Callable[..., Fleet]) -> None:
    fleet = fleets(sturdy, partitions=2)
    live, worker = fleet.live, fleet.join()
    fleet.load.ask()
    inputs: dict[Place, str | None] = {
        (record.topic, record.partition, record.offset): decode_request(record.value).event_id
        for record in scan(live.settings, "requests")
    }
    assert len(inputs) == len(fleet.load.wishes)
    for number in range(300):
        event = candidates(f"reader {number % 100}", request="ghosts" if number % 5 == 0 else None)
        raw = json.dumps(event).encode() if number % 10 else b'{"event_id": '
        for _ in range(2):  # each list is sent twice
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
    assert account().check("requests, each list twice, then offsets reset") == len(inputs)
