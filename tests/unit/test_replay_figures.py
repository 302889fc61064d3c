"""What a replay says of its rankings, against closed forms."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from ranker.adherence import Figures
from ranker.events import CandidateList
from ranker.run import Asked, lay_out
from streams.replay.engagement import CLIP, Clicked, estimate
from streams.replay.figures import COLUMNS, compare
from streams.replay.plots import _with_error
from streams.replay.segments import FEEDS, Feed, most_changed
from streams.replay.state import Codes
from streams.replay.totals import Estimate, Totals, _estimate, _Terms, jackknifed
from streams.replay.variants import Answers, Ranked, Variant
from streams.standarderror import ClusteredMean


def answers(orders: list[list[list[int]]], top_k: int | None = None) -> Answers:
    """Lists e0, e1, ... of items named by their base rank; `orders` has for each variant the fused order of each list."""
    run = [
        Asked(
            CandidateList(
                event_id=f"e{number}", user_id="u", item_ids=[f"i{n}" for n in range(len(order))][::-1],
                base_scores=[float(-n) for n in range(len(order))][::-1], created_at=0.0, top_k=top_k,
            ),
            None,
        )
        for number, order in enumerate(orders[0])
    ]  # fmt: skip
    flat, refused = lay_out(run, Codes().of)
    assert flat
    assert not refused
    lists = len(run)
    ranked = [
        Ranked(
            np.concatenate([np.array(order) + start for order, start in zip(variant, flat.spans.starts, strict=True)]),
            [0.5] * lists, np.ones(lists, bool), np.tile([0.2, 0.5, 0.8], (lists, 1)), [None] * lists,
        )
        for variant in orders
    ]  # fmt: skip
    return Answers(flat, ranked, [], [""] * lists)


def column(compared: Any, name: str, variant: int = 0) -> list[float]:
    return list(compared.rows[variant, :, COLUMNS.index(name)])


def test_figures_of_lists_that_one_can_check_by_hand() -> None:
    same, swapped, reverse = [0, 1, 2], [1, 0, 2], [2, 1, 0]
    long = [*range(10, 20), *range(10)]
    compared = compare(answers([[same, reverse, [0], long], [swapped, reverse, [0], list(range(20))]]))
    # d² sums to 2 for n = 3: 1 - 6 · 2 / (3 · 8); the halves of 20 exchanged: 20 · 10² = 2000, 1 - 12000 / 7980
    assert column(compared, "rho") == [1.0, -1.0, 1.0, 1 - 12000 / 7980]
    assert column(compared, "overlap") == [1.0, 1.0, 1.0, 0.0]
    assert column(compared, "rho", 1) == [0.5, -1.0, 1.0, 1.0]
    assert compared.pairs[0, :, :2].tolist() == [[1.0, 0.5], [1.0, 1.0], [1.0, 1.0], [0.0, 1 - 12000 / 7980]]
    assert column(compared, "gain") == pytest.approx([0.5] * 4)  # (0.5 - 0.2) / (0.8 - 0.2)
    assert column(compared, "steered") == column(compared, "headroom") == [1.0] * 4


@settings(deadline=None)
@given(st.lists(st.integers(2, 30).flatmap(lambda n: st.permutations(range(n))), min_size=1, max_size=5))
def test_rank_correlation_is_spearmans(orders: list[list[int]]) -> None:
    compared = compare(answers([orders]))
    for order, rho, overlap in zip(orders, column(compared, "rho"), column(compared, "overlap"), strict=True):
        places = np.argsort(order)
        assert rho == pytest.approx(spearmanr(np.arange(len(order)), places).statistic)
        assert overlap == len(set(order[:10]) & set(range(10))) / min(10, len(order))


def test_clicks_are_weighted_by_where_the_item_would_have_stood() -> None:
    """Item i2 was shown on place 1 and now stands first: θ(0) / θ(1) = 2; i0 the other way round; i1 is cut off."""
    given_ = answers([[[2, 0, 1]], [[1, 2, 0]]], top_k=2)
    compared = compare(given_)
    clicked = [("i2", 1), ("i0", 0), ("i1", 0), ("x", 0), ("i1", 3)]
    clicks = {"e0": [Clicked(item_id, place, line) for line, (item_id, place) in enumerate(clicked, 1)]}
    strange = estimate(given_, compared, clicks, 1.0)
    assert [(number, click.where) for number, click, _ in strange] == [(0, 4), (0, 5)]
    assert ["'x'" in str(strange[0][2]), "position 3" in str(strange[1][2])] == [True, True]
    assert column(compared, "clicks") == [3.0]
    assert column(compared, "expected") == [2.0 + 1 / 2 + 0.0]
    assert column(compared, "expected", 1) == [2 / 2 + 0.0 + 1.0]
    far = answers([[[49, *range(49)]]])
    compared = compare(far)
    estimate(far, compared, {"e0": [Clicked("i49", 49, 1)]}, 1.0)
    assert column(compared, "expected") == [CLIP]


def test_the_jackknife_of_equal_groups_is_the_error_of_their_means() -> None:
    means = np.array([1.0, 2.0, 4.0, 5.0])
    estimate = jackknifed(means * 3, np.full(4, 3.0))
    half = 3.18244631 * means.std(ddof=1) / math.sqrt(4)  # t of 3 degrees of freedom
    assert (estimate.mean, estimate.observations, estimate.users) == (3.0, 12, 4)
    assert (estimate.low, estimate.high) == pytest.approx((3 - half, 3 + half))
    assert jackknifed(np.array([6.0, 0.0]), np.array([3.0, 0.0])).low is None  # one group says nothing of others


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(-1, 1)), min_size=2, max_size=40))
def test_intervals_are_those_of_a_clustered_mean(observations: list[tuple[str, float]]) -> None:
    users = sorted({user for user, _ in observations})
    sums = np.array([sum(value for user, value in observations if user == each) for each in users])
    counts = np.array([float(sum(user == each for user, _ in observations)) for each in users])
    expected = ClusteredMean()
    for user, value in observations:
        expected.add(user, value)
    found = _estimate(_Terms.of(sums, counts))
    assert found.mean == pytest.approx(expected.mean, abs=1e-12)
    assert (found.users, found.observations) == (len(users), len(observations))
    if len(users) == 1:
        assert found.low is None
    else:
        from scipy.stats import t

        half = expected.standard_error * t.ppf(0.975, len(users) - 1)
        assert found.high == pytest.approx(expected.mean + half, abs=1e-12)


def test_the_difference_of_variants_is_that_of_each_user() -> None:
    """One that is better by the same for everybody is better without doubt, however unlike the users are."""
    lists = np.array([1.0, 2.0, 5.0])
    one = np.array([0.1, 1.8, 0.0])
    found = _estimate(_Terms.of(one + 0.2 * lists, lists), _Terms.of(one, lists))
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))
    unlike = _estimate(_Terms.of(one, lists))
    assert unlike.low is not None
    assert unlike.high is not None
    assert unlike.high - unlike.low > 0.5


def test_no_lists_have_no_figures() -> None:
    totals = Totals([Variant("replay", None, "rank")])
    assert totals.estimate(0, "gain").mean is None
    assert not math.isnan(totals.estimate(0, "overlap").observations)


def test_the_feeds_that_changed_most_are_of_unlike_users() -> None:
    def feed(number: int, user: str, overlap: float, rho: float) -> Feed:
        return Feed(f"e{number}", user, "", 0.5, overlap, rho, [], [])

    feeds = [feed(n, f"u{n}", 0.5, n / 100) for n in range(20)] + [feed(99, "u3", 0.1, 0.9), feed(100, "u3", 0.1, 0.8)]
    kept = most_changed(feeds)
    assert [each.event_id for each in kept] == ["e100", "e0", "e1", "e2", *(f"e{n}" for n in range(4, 10))]
    assert len(kept) == FEEDS


SHARES = st.floats(0, 1, width=32) | st.sampled_from([0.0, 1.0, 0.5, 0.00005, 0.25005, 0.99995])


@given(st.lists(st.tuples(SHARES, SHARES, SHARES, st.integers(0, 10)), min_size=1, max_size=30))
def test_figures_are_rounded_in_columns_as_they_are_sent(rows: list[tuple[float, float, float, int]]) -> None:
    base, fused, best, kept = zip(*rows, strict=True)
    shares = [np.array(each, np.float32) for each in (base, fused, best)]
    figures = Figures(shares[0], shares[1], shares[2], np.array(kept))
    columns = [[None if value != value else value for value in column.tolist()] for column in figures.columns()]
    sent = [(each.base, each.fused, each.best, each.gain, each.overlap) for each in figures.structs()]
    assert list(zip(*columns, strict=True)) == sent


def test_a_figure_that_there_is_not_is_not_drawn_as_zero() -> None:
    assert math.isnan(_with_error(Estimate(None, None, None, 0, 0))[0])
    assert _with_error(Estimate(0.5, 0.25, 0.75, 9, 3)) == (0.5, 0.25)
