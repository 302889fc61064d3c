import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.standarderror import ClusteredMean


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-5, 5)), min_size=1))
def test_the_mean_is_the_mean_and_repeating_a_cluster_adds_no_certainty(pairs: list[tuple[str, int]]) -> None:
    once, twice = ClusteredMean(), ClusteredMean()
    for cluster, value in pairs:
        once.add(cluster, value)
        for _ in range(2):
            twice.add(cluster, value)
    assert once.mean == pytest.approx(statistics.mean(value for _, value in pairs))
    assert (once.count, once.clusters) == (len(pairs), len({cluster for cluster, _ in pairs}))
    if once.clusters > 1:
        assert twice.standard_error == pytest.approx(once.standard_error)


def test_one_observation_a_cluster_gives_the_usual_standard_error() -> None:
    values = [0.5, -0.25, 1.0, 0.75]
    mean = ClusteredMean()
    for n, value in enumerate(values):
        mean.add(str(n), value)
    assert mean.standard_error == pytest.approx(statistics.stdev(values) / math.sqrt(len(values)))
    assert math.isnan(ClusteredMean().mean)
