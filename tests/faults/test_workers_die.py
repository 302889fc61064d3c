"""Workers that are killed, join and leave under load: nothing is missing, and repeats are equal."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.supervise import WorkerProcess
from tests.live import TIMEOUT, Live, live_settings
from tests.load import Load
from tests.unit.tiny_towers import bundle_folder

pytestmark = pytest.mark.faults

KILLS, RATE = 3, 250


class Fleet:
    """Workers of one group under load."""

    def __init__(self, live: Live) -> None:
        self.live, self.load = live, Load(live, RATE)
        self._workers: list[WorkerProcess] = []

    def join(self) -> WorkerProcess:
        """One more worker, ready."""
        worker = self.live.another()
        self._workers.append(worker)
        worker.start()
        worker.wait_ready(TIMEOUT)
        return worker

    def read(self, seconds: float) -> None:
        """Read what the workers send, for so long."""
        self.live.outputs.until(lambda: False, seconds)

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
        self.live.close()


@pytest.fixture
def fleet(bootstrap: str, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(Live(live_settings(bootstrap, bundle_folder(), partitions=4), tmp_path))
    try:
        yield fleet
    finally:
        fleet.close()


def test_kill_9_loses_nothing(fleet: Fleet) -> None:
    rng = random.Random()
    worker = fleet.join()
    fleet.load.ask()
    fleet.load.start()
    fleet.read(2)
    bound, unfinished = 0, []
    for _ in range(KILLS):
        fleet.read(rng.uniform(0, 1.5))
        worker.kill()
        bound += fleet.load.done_before_commit()
        unfinished.append(len(fleet.load.missing()))
        worker = fleet.join()
    fleet.load.stop()
    repeats = fleet.load.check()
    print(f"{KILLS} kills with {unfinished} lists waiting; at most {bound} repeats expected")
    assert min(unfinished) > 0
    assert repeats <= bound
    assert worker.stop() == 0


def test_workers_come_and_go(fleet: Fleet) -> None:
    first = fleet.join()
    fleet.load.ask()
    fleet.load.start()
    second = fleet.join()
    fleet.read(1)
    second.kill()
    third = fleet.join()
    fleet.read(1)
    assert third.stop() == 0
    fleet.read(1)
    fleet.load.stop()
    fleet.load.check()
    assert first.process.poll() is None
    assert first.stop() == 0
