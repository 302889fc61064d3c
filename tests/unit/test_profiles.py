import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.experiments.profiles import FACETS, Facts, distance, jensen_shannon
from tests.unit.small_data import small_dataset

SHARES = st.lists(st.integers(0, 5), min_size=4, max_size=4).filter(any).map(lambda row: np.array(row) / sum(row))


def test_jensen_shannon_by_hand() -> None:
    one, other = np.array([1.0, 0]), np.array([0, 1.0])
    assert jensen_shannon(one, one) == 0
    assert jensen_shannon(one, other) == 1
    # Half of KL((1, 0) ‖ (3/4, 1/4)) and half of KL((1/2, 1/2) ‖ (3/4, 1/4)).
    expected = (np.log2(4 / 3) + (np.log2(2 / 3) + np.log2(2)) / 2) / 2
    assert jensen_shannon(one, np.array([0.5, 0.5])) == pytest.approx(np.sqrt(expected))


@given(SHARES, SHARES, SHARES)
def test_it_is_a_distance(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    assert 0 <= jensen_shannon(a, b) <= 1 + 1e-9
    assert jensen_shannon(a, b) == pytest.approx(jensen_shannon(b, a))
    assert jensen_shannon(a, c) <= jensen_shannon(a, b) + jensen_shannon(b, c) + 1e-7


def test_an_item_counts_once_in_every_facet() -> None:
    dataset = small_dataset()
    facts = Facts(dataset.catalogue)
    for facet in FACETS:
        np.testing.assert_allclose(facts.shares[facet].sum(axis=1), 1)
    two = next(row for row, item in enumerate(dataset.catalogue.items) if len(item.genres) == 2)
    genres = facts.profile(np.array([two]), ["genre"])[0]
    assert sorted(genres)[-2:] == [0.5, 0.5]


def test_many_feeds_are_measured_as_one_is() -> None:
    facts, random = Facts(small_dataset().catalogue), np.random.default_rng(2)
    feeds, goal = random.integers(0, 80, (5, 10)), facts.profile(random.integers(0, 80, 30), FACETS)
    together = distance(facts.profiles(feeds, FACETS), goal)
    alone = [distance(facts.profile(feed, FACETS), goal) for feed in feeds]
    np.testing.assert_allclose(together, alone)
    assert distance(goal, goal) == pytest.approx(0, abs=1e-7)
