from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.errors import BadEvent
from streams.budgets import BURST, REMEMBERED, Budgets


class Records:
    """Takes records, each at the offset after the last one's, while our own clock says `now`."""

    def __init__(self, rate: float) -> None:
        self.now, self._offset = 0.0, -1
        self.budgets = Budgets(rate, "a budget", lambda: self.now)

    def take(self, key: bytes | None, dated: int, offset: int | None = None) -> bool:
        """`dated` in milliseconds."""
        self._offset += offset is None
        record: Any = SimpleNamespace(
            key=key, timestamp=dated, partition=0, offset=self._offset if offset is None else offset
        )
        try:
            self.budgets.take(record)
        except BadEvent:
            return False
        return True


def test_a_burst_and_then_the_rate() -> None:
    records = Records(2.0)
    assert sum(records.take(b"u", 0) for _ in range(50)) == 2 * BURST
    assert [records.take(b"u", 499), records.take(b"u", 500), records.take(b"u", 501)] == [False, True, False]
    assert records.take(b"other", 0)
    refused: Any = SimpleNamespace(key=b"u", timestamp=502, partition=0, offset=1000)
    with pytest.raises(BadEvent, match="its user is over a budget: 2 a second") as error:
        records.budgets.take(refused)
    assert error.value.reason == "rate"


def test_nobody_and_no_limit() -> None:
    free = Records(0)
    assert all(free.take(b"u", 0) for _ in range(1000))
    records = Records(0.1)
    assert all(records.take(None, 0) for _ in range(1000))


def test_memory_is_bounded() -> None:
    records = Records(1.0)
    for number in range(REMEMBERED + 10):
        records.take(b"%d" % number, 0)
    assert len(records.budgets._left) == REMEMBERED


def test_a_backlog_of_a_busy_user_is_worked_off_at_once() -> None:
    records = Records(10.0)
    assert all(records.take(b"u", 100 * number) for number in range(36_000))  # an hour of lists, in no time of ours


def test_what_comes_again_was_counted_already() -> None:
    records = Records(1.0)
    assert all(records.take(b"u", 0) for _ in range(10))
    assert all(records.take(b"u", 0, offset) for offset in range(10))
    assert not records.take(b"u", 0)


@pytest.mark.parametrize("first", [86_400_000, 0])
def test_a_wrong_clock_locks_nobody_out(first: int) -> None:
    """One record of tomorrow, or records that all say the same."""
    records = Records(1.0)
    records.take(b"u", first)
    while records.take(b"u", 0):
        pass
    for _ in range(60):
        records.now += 1
        assert records.take(b"u", 0)
        assert not records.take(b"u", 0)


@given(st.lists(st.tuples(st.integers(0, 100_000), st.floats(0, 5)), max_size=200), st.floats(0.1, 50))
def test_never_more_than_the_burst_and_the_rate_allow(events: list[tuple[int, float]], rate: float) -> None:
    """In whatever order the records' clocks are, and however long ours waits between them."""
    records, count = Records(rate), 0
    for dated, waited in events:
        records.now += waited
        count += records.take(b"u", dated)
    times = [dated for dated, _ in events]
    span = (max(times, default=0) - min(times, default=0)) / 1000 + records.now
    assert count <= max(1.0, rate * BURST) + rate * span + 1e-6


@given(st.lists(st.tuples(st.integers(1, 5_000), st.floats(0, 5)), max_size=100))
def test_the_same_records_meet_the_same_end(events: list[tuple[int, float]]) -> None:
    """However long it takes to read them."""
    slow, quick = Records(1.0), Records(1.0)
    for dated, waited in events:
        slow.now += waited
        assert slow.take(b"u", dated) == quick.take(b"u", dated)
