"""Workers with a bug: one that stands still is ended by its watchdog, and what it had in hand is ranked by others.

The bug is put into one worker, which is otherwise what people run.
"""

import json
import sys
import time
from collections.abc import Callable

import pytest

from tests.faults.fleet import Fleet
from tests.live import TIMEOUT, candidates, error_headers
from tests.oracle import Account, Place

pytestmark = pytest.mark.faults

MARK = "stands still"
LOOP = f"""
import time
from streams import agents
decode = agents.decode_candidates
agents.decode_candidates = lambda value: time.sleep(3600) if b"{MARK}" in value else decode(value)
"""
RUN = f"""
import asyncio
from streams.agents import Agents
steering = Agents._steering
async def waits(self, record, candidates, *rest):
    if candidates.user_id == "{MARK}":
        await asyncio.sleep(3600)
    return await steering(self, record, candidates, *rest)
Agents._steering = waits
"""
UNWINDING = """
import asyncio
from streams.canaries import Canaries
from streams.outbox import Outbox
async def fails(self):
    await asyncio.sleep(1)
    raise ZeroDivisionError
async def hangs(self):
    await asyncio.sleep(3600)
Canaries.follow, Outbox.stop = fails, hangs
"""
QUOTING = """
from streams import agents
def quotes(value):
    raise KeyError(value.decode())
agents.decode_candidates = quotes
"""
MAIN = """
import sys
sys.argv = ["ctrlrec", "worker"]
from streams.cli import main
main()
"""


def with_bug(bug: str) -> tuple[str, ...]:
    return (sys.executable, "-c", bug + MAIN)


@pytest.mark.parametrize(
    ("bug", "why"), [(LOOP, "the event loop stood still for"), (RUN, "a run was in hand for")], ids=["loop", "run"]
)
def test_another_ranks_what_it_had(sturdy: str, fleets: Callable[..., Fleet], bug: str, why: str) -> None:
    fleet = fleets(sturdy, partitions=1, stall_timeout=2, run_length=1, embed_timeout=1)
    live, worker = fleet.live, fleet.join(*with_bug(bug))
    inputs: dict[Place, str | None] = {}
    for user in ("before", MARK, "behind"):
        event = candidates(user)
        where = live.send("candidates", json.dumps(event).encode(), user.encode()).get(timeout=TIMEOUT)
        inputs[where.topic, where.partition, where.offset] = event["event_id"]
    began = time.monotonic()
    assert worker.process.wait(30) == 70
    assert why in worker.log.read_text()
    print(f"ended after {time.monotonic() - began:.1f} s")
    fleet.change(stall_timeout=60)
    assert fleet.keep_alive() == 1  # the next one has no such bug
    live.outputs.until(lambda: all(event_id in live.outputs.rankings for event_id in inputs.values()))
    Account.of(inputs, live.outputs.answers(), live.outputs.dead).check(f"a worker that hangs: {why[:-4]}")


def test_a_crash_that_hangs_while_it_unwinds(embedded: str, fleets: Callable[..., Fleet]) -> None:
    fleet = fleets(embedded, partitions=1, drain_timeout=3)
    worker = fleet.starting(*with_bug(UNWINDING))
    assert worker.process.wait(60) == 70
    log = worker.log.read_text()
    assert "stopping went on for" in log


def test_a_bug_is_logged_without_what_readers_wrote(embedded: str, fleets: Callable[..., Fleet]) -> None:
    fleet = fleets(embedded, partitions=1)
    live, worker = fleet.live, fleet.join(*with_bug(QUOTING))
    event = candidates("canary-9", request="canary-9")
    letter = live.dead_letter(live.send("candidates", json.dumps(event).encode()))
    assert error_headers(letter)["class"] == "bug"
    assert "canary-9" not in str(error_headers(letter))
    log = worker.log.read_text()
    assert "in quotes" in log
    assert "KeyError" in log
    assert "canary-9" not in log
