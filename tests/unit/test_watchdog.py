import subprocess
import sys
import time
from threading import Event

from streams.towerthread import TowerThread
from streams.watchdog import EXIT_FAILURE, Limit, exceeded, watch

ENDLESS = """
import logging, time
from streams.watchdog import Limit, watch
logging.basicConfig(format="%(message)s")
began = time.monotonic()
watch([Limit("a run was in hand", lambda: time.monotonic() - began, 0.5)])
time.sleep(60)
"""


def test_only_what_is_past_its_limit_is_named() -> None:
    limits = [Limit("one went on", lambda: 1.0, 1.0), Limit("two went on", lambda: 2.5, 1.0)]
    assert exceeded(limits[:1]) is None
    assert exceeded(limits) == "two went on for 2.5 s, and at most 1 s are allowed"


def test_a_process_within_its_limits_lives() -> None:
    watch([Limit("nothing", lambda: 0.0, 1.0)])
    time.sleep(0.5)


def test_a_clock_that_was_far_ahead_for_a_moment_ends_nothing() -> None:
    """As that of a process which was stopped and goes on."""
    looks = iter([0.0, 99.0])
    watch([Limit("standing still went on", lambda: next(looks, 0.0), 1.0)])
    time.sleep(1.2)


def test_a_process_past_its_limit_ends_though_its_main_thread_is_stuck() -> None:
    ended = subprocess.run([sys.executable, "-c", ENDLESS], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == EXIT_FAILURE
    assert "a run was in hand for " in ended.stderr
    assert "comes again" in ended.stderr


def test_a_tower_is_busy_for_as_long_as_its_call() -> None:
    began, go_on = Event(), Event()

    def call(answer: int) -> int:
        began.set()
        go_on.wait()
        return answer

    with TowerThread() as tower:
        assert tower.busy_for() == 0
        answer = tower.submit(call, 7)
        assert began.wait(10)
        time.sleep(0.2)
        assert tower.busy_for() >= 0.2
        go_on.set()
        assert answer.result(10) == 7
    assert tower.busy_for() == 0
