from hypothesis import given
from hypothesis import strategies as st

from streams.timetable import Timetable

KEYS, TIMES = st.sampled_from("abcde"), st.integers(0, 9).map(float)


@given(st.lists(st.tuples(KEYS, st.none() | TIMES)), TIMES, st.integers(0, 6))
def test_each_key_is_due_at_the_time_that_it_had_last(
    changes: list[tuple[str, float | None]], now: float, most: int
) -> None:
    table, expected = Timetable[str](), dict[str, float]()
    for key, time in changes:
        if time is None:
            table.drop(key)
            expected.pop(key, None)
        else:
            table.set(key, time)
            expected[key] = time
    first, rest = table.due(now, most), table.due(now, 100)
    assert len(first) == min(most, len(first + rest))
    assert sorted(first + rest) == sorted(key for key, time in expected.items() if time <= now)
    assert len(table) == sum(time > now for time in expected.values())
    assert table.due(now, 100) == []


def test_what_is_put_off_again_and_again_takes_no_room() -> None:
    table = Timetable[str]()
    for time in range(10_000):
        table.set(f"u{time % 10}", float(time))
    table.drop("u9")
    assert len(table._heap) <= 2 * 10 + 64
    assert table.due(9_994.0, 100) == ["u0", "u1", "u2", "u3", "u4"]
