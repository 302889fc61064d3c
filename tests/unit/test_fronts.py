import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.experiments.fronts import pareto, recommended, shortfall

POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


def columns(points: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    engagement, adherence = (np.array(side, np.float64) for side in zip(*points, strict=True))
    return engagement, adherence


@given(POINTS)
def test_a_point_is_on_the_front_where_no_other_beats_it(points: list[tuple[int, int]]) -> None:
    found = pareto(*columns(points))
    beaten = {point for point in points if any(a >= point[0] and b >= point[1] and (a, b) != point for a, b in points)}
    assert {points[place] for place in found} == set(points) - beaten
    assert len(found) == len({points[place] for place in found})
    adherence = [points[place][1] for place in found]
    assert adherence == sorted(adherence)


def test_the_weight_recommended_is_nearest_to_having_both() -> None:
    engagement, adherence = np.array([1.0, 0.9, 0.8, 0.2, 0.0]), np.array([0.0, 0.2, 0.7, 0.9, 1.0])
    assert recommended(engagement, adherence) == 2
    assert recommended(np.array([1.0, 0.5]), np.array([1.0, 0.5])) == 0  # one point beats all others


def test_a_front_falls_short_by_hand() -> None:
    ours = (np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert shortfall(ours, ours) == 0
    assert shortfall(ours, (np.array([0.5]), np.array([0.5]))) == 0  # half way between two weights
    assert shortfall(ours, (np.array([0.75]), np.array([0.5]))) == pytest.approx(0.25)
    assert shortfall(ours, (np.array([0.3]), np.array([0.5]))) == pytest.approx(-0.2)
    assert shortfall(ours, (np.array([0.4]), np.array([2.0]))) == pytest.approx(0.4)  # adherence out of our reach


@given(POINTS, POINTS)
def test_more_points_never_fall_shorter(points: list[tuple[int, int]], more: list[tuple[int, int]]) -> None:
    both = columns(points + more)
    assert shortfall(both, columns(points)) <= 1e-9
