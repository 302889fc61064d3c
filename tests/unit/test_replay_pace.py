"""How fast `--publish` sends, by a clock that sleeping moves."""

import pytest

from streams.replay import publish
from streams.replay.publish import _Pace


class Clock:
    """Sleeping moves it, and nothing else."""

    def __init__(self) -> None:
        self.now = 50.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


def sent(speed: float, made: list[float], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds after the first at which each is sent."""
    clock, pace, at = Clock(), _Pace(speed), []
    monkeypatch.setattr(publish, "time", clock)
    for created_at in made:
        pace.wait(created_at)
        at.append(clock.now - 50.0)
    return at


@pytest.mark.parametrize("speed", [0.5, 1.0, 10.0])
def test_lists_are_sent_as_far_apart_as_they_were_made(speed: float, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [1e9, 1e9 + 5, 1e9 + 3, 1e9 + 3600]  # one clock is behind
    assert sent(speed, made, monkeypatch) == pytest.approx([0, 5 / speed, 5 / speed, 3600 / speed])


@pytest.mark.parametrize("strange", [1.7e12, 0.0, 1e300])
def test_a_time_of_another_unit_is_not_waited_for(strange: float, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [strange, 1.7e9, 1.7e9 + 2]
    assert sent(1.0, first, monkeypatch) == pytest.approx([0, 0, 2])
    amid = [1.7e9, 1.7e9 + 2, strange, 1.7e9 + 4, 1.7e9 + 5]
    assert sent(1.0, amid, monkeypatch) == pytest.approx([0, 2, 2, 2, 3])


def test_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sent(float("inf"), [0.0, 50.0, 1e12], monkeypatch) == [0, 0, 0]
