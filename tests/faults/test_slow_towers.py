"""A request tower that takes too long, or for ever."""

import json
import signal
import time
from collections.abc import Callable

import pytest

from tests.faults.fleet import Fleet
from tests.live import TIMEOUT, candidates, error_headers, new_id, request
from tests.oracle import Account, Place
from tests.unit.slow_towers import ENDLESS, SECONDS, SLOW, slow_bundle_folder

pytestmark = pytest.mark.faults

DEADLINE = 1.0


@pytest.mark.parametrize("times", [2, 10])
def test_slower_than_the_deadline(sturdy: str, fleets: Callable[..., Fleet], times: int) -> None:
    """Lists are ranked without their request, and say so; the group keeps its member."""
    fleet = fleets(sturdy, slow_bundle_folder(), partitions=2, embed_timeout=DEADLINE)
    live, worker = fleet.live, fleet.join()
    before = worker.metrics()["feedranker_rebalances_total"]
    text = " ".join([SLOW] * round(times * DEADLINE / SECONDS))
    inputs: dict[Place, str | None] = {}
    slow: list[str] = []
    quick: list[str] = []
    for number in range(12):
        event = candidates(new_id(), **({} if number % 4 else {"request": f"{text} {number}"}))
        (quick if number % 4 else slow).append(event["event_id"])
        where = live.send("candidates", json.dumps(event).encode()).get(timeout=TIMEOUT)
        inputs[where.topic, where.partition, where.offset] = event["event_id"]
    wish = request(new_id(), text)
    sent = live.send("requests", json.dumps(wish).encode())
    assert error_headers(live.dead_letter(sent))["class"] == "deadline"
    where = sent.get()
    inputs[where.topic, where.partition, where.offset] = None
    assert [live.ranking(event_id).degraded for event_id in slow] == ["deadline"] * len(slow)
    assert [live.ranking(event_id).degraded for event_id in quick] == ["no_control"] * len(quick)
    # It was never thrown out, and understands what it can as soon as the tower is free.
    ranking, seconds = live.rank_until(lambda ranking: ranking.degraded is None, new_id(), request="ghosts")
    print(f"{seconds:.1f} s until requests are understood again")
    assert ranking.request_id == ranking.event_id
    assert worker.metrics()["feedranker_rebalances_total"] == before
    Account.of(inputs, live.outputs.answers(), live.outputs.dead).check(f"tower of {times} × its deadline")


def test_a_tower_that_never_comes_back_ends_the_worker(sturdy: str, fleets: Callable[..., Fleet]) -> None:
    """Lists are ranked without it meanwhile. No request would be understood any more: the next worker has a free tower."""
    fleet = fleets(
        sturdy, slow_bundle_folder(), partitions=1, embed_timeout=DEADLINE, stall_timeout=6, commit_interval=0.2
    )
    live, worker = fleet.live, fleet.join()
    inputs: dict[Place, str | None] = {}
    for request_text in (ENDLESS, "ghosts", None):
        event = candidates(new_id(), **({"request": request_text} if request_text else {}))
        where = live.send("candidates", json.dumps(event).encode()).get(timeout=TIMEOUT)
        inputs[where.topic, where.partition, where.offset] = event["event_id"]
        assert live.ranking(event["event_id"]).degraded == ("deadline" if request_text else "no_control")
    assert worker.process.wait(30) == 70
    assert "one call of a tower went on for" in worker.log.read_text()
    fleet.change(stall_timeout=60)
    assert fleet.keep_alive() == 1
    ranking, _ = live.rank_until(lambda ranking: ranking.degraded is None, new_id(), request="ghosts")
    assert ranking.request_id == ranking.event_id
    Account.of(inputs, live.outputs.answers(), live.outputs.dead).check("a tower that never comes back")


def test_a_hung_agent_does_not_hold_up_the_end(sturdy: str, fleets: Callable[..., Fleet]) -> None:
    """SIGTERM: the process ends within 30 s, and what it had in hand is replayed."""
    fleet = fleets(sturdy, slow_bundle_folder(), partitions=1, embed_timeout=3600)
    live, worker = fleet.live, fleet.join()
    event = candidates(new_id(), request=ENDLESS)
    where = live.send("candidates", json.dumps(event).encode()).get(timeout=TIMEOUT)
    inputs: dict[Place, str | None] = {(where.topic, where.partition, where.offset): event["event_id"]}
    fleet.read(2)
    assert event["event_id"] not in live.outputs.rankings
    began = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    time.sleep(2)
    assert worker.metrics()["feedranker_heartbeat_timestamp_seconds"] > time.time() - 1.5  # alive, as long as it drains
    assert worker.process.wait(35) == 70
    seconds = time.monotonic() - began
    assert seconds < 30
    print(f"ended after {seconds:.1f} s")
    assert "stopping went on for" in worker.log.read_text()
    fleet.change(embed_timeout=DEADLINE)
    fleet.join()
    assert live.ranking(event["event_id"]).degraded == "deadline"
    Account.of(inputs, live.outputs.answers(), live.outputs.dead).check("SIGTERM while an agent hangs")
