import numpy as np
import pytest

from ranker.experiments.bootstrap import crossed, estimate, mean_and_worst, mean_of, ratio_of, resampled


def test_a_resample_has_as_many_of_each_stratum() -> None:
    strata = [0, 1, 0, 2, 1, 0]
    drawn = resampled(strata, seed=3, resamples=50)
    for rows in drawn:
        assert sorted(strata[row] for row in rows) == sorted(strata)
    assert (drawn == resampled(strata, seed=3, resamples=50)).all()
    assert (drawn != resampled(strata, seed=4, resamples=50)).any()


def test_the_interval_of_a_mean_is_the_normal_one_for_many() -> None:
    figures = np.random.default_rng(0).normal(5, 2, 4000)
    found = mean_of(figures, seed=1)
    error = 1.96 * figures.std() / np.sqrt(len(figures))
    assert found.value == pytest.approx(figures.mean())
    assert found.high - found.low == pytest.approx(2 * error, rel=0.1)


def test_a_ratio_has_an_interval_too() -> None:
    upper, lower = np.array([2.0, 4, 6]), np.array([1.0, 2, 3])
    found = estimate(lambda rows: float(upper[rows].sum() / lower[rows].sum()), resampled([0] * 3, seed=0))
    assert (found.value, found.low, found.high) == (2, 2, 2)


def test_pairs_are_drawn_by_both_of_their_sides() -> None:
    rows, columns = [0, 0, 1, 1, 2], [0, 1, 0, 1, 1]
    weights = crossed(rows, columns, seed=5, resamples=4000)
    assert weights.mean(axis=0) == pytest.approx(np.ones(5), abs=0.1)
    # (row 0, column 0) · (row 1, column 1) = (row 0, column 1) · (row 1, column 0): four numbers of draws in all.
    np.testing.assert_allclose(weights[:, 0] * weights[:, 3], weights[:, 1] * weights[:, 2])
    found = ratio_of(np.array([2.0, 4, 6, 8, 2]), np.array([1.0, 2, 3, 4, 1]), weights)
    assert (found.value, found.low, found.high) == (2, 2, 2)
    assert np.isnan(ratio_of(np.zeros(5), np.zeros(5), weights).value)


def test_strata_weigh_the_same_and_the_worst_is_named_by_its_mean() -> None:
    figures = np.array([1.0, 1, 1, 1, 0.2, 0.4, np.nan])
    mean, worst = mean_and_worst(figures, ["a", "a", "a", "a", "b", "b", "b"], seed=0)
    assert mean.value == pytest.approx((1 + 0.3) / 2)
    assert worst.value == pytest.approx(0.3)
    assert (worst.low, worst.high) == pytest.approx((0.2, 0.4))


def test_nothing_to_average_is_no_figure() -> None:
    assert np.isnan(mean_of(np.array([np.nan]), seed=0).value)
