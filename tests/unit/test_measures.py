import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from ranker.adherence import judged_adherence
from ranker.experiments.measures import (
    balanced,
    discounted,
    mean_squared_error,
    ndcg,
    ranking_auc,
    reliability,
    spearman,
)


def test_auc_needs_three_of_either() -> None:
    judged = np.array([1, 1, 1, 0, 0, 0])
    assert ranking_auc(np.array([6.0, 5, 4, 3, 2, 1]), judged) == 1
    assert ranking_auc(np.array([6.0, 5, 2, 3, 4, 1]), judged) == pytest.approx(7 / 9)
    assert np.isnan(ranking_auc(np.arange(6.0), np.array([1.0, 1, 0, 0, 0, 0])))


def test_spearman_by_hand() -> None:
    assert spearman(np.array([1.0, 2, 3]), np.array([10.0, 20, 400])) == pytest.approx(1)
    # 1 - 6 Σ d² / (n (n² - 1)) with d = (0, 1, -1, 0)
    assert spearman(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert np.isnan(spearman(np.ones(3), np.arange(3.0)))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=30))
def test_spearman_is_scipys(pairs: list[tuple[int, int]]) -> None:
    left, right = (np.array(side, np.float64) for side in zip(*pairs, strict=True))
    if np.ptp(left) and np.ptp(right):
        assert spearman(left, right) == pytest.approx(spearmanr(left, right).statistic)


def test_ndcg_by_hand() -> None:
    gains = np.array([0.0, 1, 0, 0.5])
    found = 1 / np.log2(3) + 0.5 / np.log2(5)
    best = 1 / np.log2(2) + 0.5 / np.log2(3)
    assert ndcg(np.array([4.0, 3, 2, 1]), gains) == pytest.approx(found / best)
    assert ndcg(np.array([1.0, 9, 2, 8]), gains) == 1
    assert ndcg(np.array([4.0, 3, 2, 1]), gains, top=1) == 0
    assert ndcg(np.zeros(4), gains) == pytest.approx(found / best)  # ties in the order that they came in
    assert np.isnan(ndcg(np.arange(4.0), np.zeros(4)))


def test_what_is_discounted_is_what_serving_calls_adherence() -> None:
    judged = np.random.default_rng(0).random(30).astype(np.float32)
    order = np.random.default_rng(1).permutation(30)
    expected = judged_adherence(judged, order).fused
    assert discounted(judged[order[:10]].astype(np.float64), 10) == pytest.approx(expected, abs=1e-4)
    assert discounted(np.array([1.0]), 2) == pytest.approx(1 / (1 + 1 / np.log2(3)))


def test_relevant_and_other_items_weigh_the_same() -> None:
    relevant = np.array([[True, False, False, False], [True, True, True, False]])
    weights = balanced(relevant)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(np.where(relevant, weights, 0).sum(axis=1), 0.5)
    half = np.full(4, 0.5)
    assert mean_squared_error(half, relevant[0].astype(np.float64), weights[0]) == pytest.approx(0.25)
    always_no = np.zeros(4)
    assert mean_squared_error(always_no, relevant[0].astype(np.float64), weights[0]) == pytest.approx(0.5)


def test_reliability_by_hand() -> None:
    alignment = np.array([0.05, 0.15, 0.15, 1.0])
    diagram = reliability(alignment, np.array([False, True, False, True]), np.ones(4))
    assert diagram.relevant[[0, 1, 9]].tolist() == [0, 0.5, 1]
    assert diagram.share.tolist() == [0.25, 0.5, 0, 0, 0, 0, 0, 0, 0, 0.25]
    assert np.isnan(diagram.alignment[5])
    assert diagram.error == pytest.approx(0.25 * 0.05 + 0.5 * 0.35)
