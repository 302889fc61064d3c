from types import SimpleNamespace
from typing import Any

from streams.processes import FIRST_PAUSE, LONGEST_PAUSE, STEADY, Slot


class Workers:
    """Workers whose exit statuses the test decides."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.started: list[int] = []

    def start(self, number: int) -> Any:
        self.started.append(number)
        self.status = None
        return SimpleNamespace(process=SimpleNamespace(poll=lambda: self.status))


def test_the_pause_doubles_up_to_a_bound_and_a_steady_worker_resets_it() -> None:
    workers, now = Workers(), 100.0
    slot = Slot(3, workers.start)
    for pause in (FIRST_PAUSE, 2.0, 4.0, 8.0, 16.0, LONGEST_PAUSE, LONGEST_PAUSE):
        slot.tend(now)
        workers.status = 70
        assert slot.tend(now) == 70
        before = slot.starts
        slot.tend(now + pause - 0.1)
        assert slot.starts == before
        now += pause
    slot.tend(now)
    assert workers.started == [3] * 8
    now += STEADY
    workers.status = 0
    assert slot.tend(now) == 0
    slot.tend(now + FIRST_PAUSE)
    assert slot.starts == 9
