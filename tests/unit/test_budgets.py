import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.errors import BadEvent
from streams.budgets import BURST, REMEMBERED, Budgets


def taken(budgets: Budgets, key: bytes | None, now: int) -> bool:
    try:
        budgets.take(key, now)
    except BadEvent:
        return False
    return True


def test_a_burst_and_then_the_rate() -> None:
    budgets = Budgets(2.0, "a budget")
    assert sum(taken(budgets, b"u", 0) for _ in range(50)) == 2 * BURST
    assert [taken(budgets, b"u", 499), taken(budgets, b"u", 500), taken(budgets, b"u", 501)] == [False, True, False]
    assert taken(budgets, b"other", 0)
    with pytest.raises(BadEvent, match="its user is over a budget: 2 a second") as refused:
        budgets.take(b"u", 502)
    assert refused.value.reason == "rate"


def test_nobody_and_no_limit() -> None:
    assert all(taken(Budgets(0, "none"), b"u", 0) for _ in range(1000))
    budgets = Budgets(0.1, "a budget")
    assert all(taken(budgets, None, 0) for _ in range(1000))


def test_memory_is_bounded() -> None:
    budgets = Budgets(1.0, "a budget")
    for number in range(REMEMBERED + 10):
        budgets.take(b"%d" % number, 0)
    assert len(budgets._left) == REMEMBERED


@given(st.lists(st.integers(0, 100_000), max_size=200), st.floats(0.1, 50))
def test_never_more_than_the_burst_and_the_rate_allow(times: list[int], rate: float) -> None:
    """In whatever order the clocks are."""
    budgets = Budgets(rate, "a budget")
    count = sum(taken(budgets, b"u", time) for time in times)
    span = (max(times, default=0) - min(times, default=0)) / 1000
    assert count <= max(1.0, rate * BURST) + rate * span + 1e-6


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b"]), st.integers(0, 5_000)), max_size=100))
def test_the_same_records_meet_the_same_end(records: list[tuple[bytes, int]]) -> None:
    one, other = Budgets(1.0, "a budget"), Budgets(1.0, "a budget")
    assert [taken(one, *record) for record in records] == [taken(other, *record) for record in records]
