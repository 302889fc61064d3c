from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker import adherence as figures_of
from ranker.adherence import kendall_tau
from ranker.errors import BadEvent
from ranker.events import Adherence, CandidateList
from ranker.ragged import Spans
from ranker.rank import Model, rank
from ranker.run import KEPT, Steering
from ranker.vectors import ItemVectors, quantize

AXES = np.eye(4, dtype=np.float32)


def model(**changes: Any) -> Model:
    """Items a to d, each along an axis of its own."""
    rows = [quantize(axis) for axis in AXES]
    items = ItemVectors(
        list("abcd"), np.stack([r.floats() for r in rows]), np.array([r.scale for r in rows], np.float32)
    )
    return Model("b1", items, 8.0, -4.0, 0.5)._replace(**changes)


def steering(towards: list[float], **changes: Any) -> Steering:
    vector = quantize(np.array(towards, np.float32) / np.linalg.norm(towards).astype(np.float32))
    return Steering("r1", "b1", vector.floats(), vector.scale, None, None)._replace(**changes)


def candidates(ids: str = "abcd", scores: list[float] | None = None, **more: object) -> CandidateList:
    scores = [float(-i) for i in range(len(ids))] if scores is None else scores
    return CandidateList(event_id="e1", user_id="u1", item_ids=list(ids), base_scores=scores, created_at=100.0, **more)  # type: ignore[arg-type]


TO_D = [1.0, 2.0, 3.0, 4.0]  # the control order is d, c, b, a


def test_the_way_of_one_list() -> None:
    ranking = rank(candidates(explain=True), steering(TO_D), model())
    # Ranks base/control: a 0/3, b 1/2, c 2/1, d 3/0. Half and half they are all 1.5: ties go to the base order.
    assert ranking.item_ids == list("abcd")
    assert (ranking.request_id, ranking.weight, ranking.bundle, ranking.degraded) == ("r1", 0.5, "b1", None)
    assert ranking.explain is not None
    assert (ranking.explain.base_ranks, ranking.explain.control_ranks) == ([0, 1, 2, 3], [3, 2, 1, 0])
    assert rank(candidates(weight=0.6), steering(TO_D), model()).item_ids == list("dcba")


def test_the_nearest_weight_wins() -> None:
    assert rank(candidates(weight=0.1), steering(TO_D, weight=0.9), model()).weight == 0.1
    assert rank(candidates(), steering(TO_D, weight=0.9), model()).weight == 0.9
    assert rank(candidates(weight=0.0), steering(TO_D, weight=0.9), model()).item_ids == list("abcd")
    assert rank(candidates(), steering(TO_D), model(weight=1.0)).item_ids == list("dcba")


def test_without_a_control_the_base_order_stands() -> None:
    ranking = rank(candidates(scores=[1.0, 4.0, 4.0, 2.0], explain=True), None, model())
    assert ranking.item_ids == ["b", "c", "d", "a"]
    assert (ranking.degraded, ranking.request_id, ranking.adherence, ranking.weight) == ("no_control", None, None, 0.0)
    assert ranking.explain is not None
    assert ranking.explain.control_ranks is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"bundle": "b0"}, "other_bundle"),
        ({"expires_at": 100.0}, "control_expired"),
        ({"expires_at": 100.1}, None),
        ({"expires_at": 100.0 - KEPT}, "no_control"),
        ({"expires_at": 100.1 - KEPT}, "control_expired"),
        ({"expires_at": 100.0 - KEPT, "bundle": "b0"}, "no_control"),
    ],
)
def test_a_control_that_is_not_in_force(change: dict[str, object], why: str | None) -> None:
    ranking = rank(candidates(weight=1.0), steering(TO_D, **change), model())
    assert ranking.degraded == why
    assert ranking.item_ids == (list("dcba") if why is None else list("abcd"))


def test_unknown_items_keep_their_base_rank_and_are_counted() -> None:
    ranking = rank(candidates("axcd", weight=1.0), steering(TO_D), model())
    assert ranking.item_ids == ["d", "x", "c", "a"]
    assert (ranking.unknown_items, ranking.degraded) == (1, "unknown_items")
    nothing = rank(candidates("xyz", weight=1.0), steering(TO_D), model())
    assert (nothing.item_ids, nothing.unknown_items, nothing.adherence) == (["x", "y", "z"], 3, None)


def test_top_k_cuts_the_fused_order() -> None:
    ranking = rank(candidates(weight=1.0, top_k=2, explain=True), steering(TO_D), model())
    assert ranking.item_ids == ["d", "c"]
    assert ranking.explain is not None
    assert ranking.explain.base_ranks == [3, 2]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (candidates("ab", [1.0]), "2 item_ids but 1 base_scores"),
        (candidates("aba"), "1 repeated"),
        (candidates("xyx"), "1 repeated"),
        (candidates("ab", [1.0, float("nan")]), r"base_scores\[1\] is not finite"),
        (candidates("ab", [float("-inf"), 1.0]), r"base_scores\[0\] is not finite"),
    ],
)
def test_lists_that_do_not_line_up_are_refused(bad: CandidateList, message: str) -> None:
    with pytest.raises(BadEvent, match=message) as error:
        rank(bad, None, model())
    assert error.value.reason == "schema"


@given(st.permutations(list("abcdxy")), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_invariants(ids: list[str], weight: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lists = candidates("".join(ids), rng.integers(0, 3, len(ids)).astype(float).tolist(), weight=weight)
    asked = steering(rng.normal(size=4).tolist())
    first, second = (msgspec.json.encode(rank(lists, asked, model())) for _ in range(2))
    assert first == second
    ranking = msgspec.json.decode(first)
    assert sorted(ranking["item_ids"]) == sorted(ids)
    figures = ranking["adherence"]
    assert 0 <= figures["base"] <= figures["best"] + 1e-4 <= 1 + 1e-4
    assert figures["fused"] <= figures["best"] + 1e-4
    if weight == 0:
        assert figures["fused"] == figures["base"]


def adherence(similarity: list[float], order: list[int], by_score: list[int]) -> Adherence:
    """Of a single list, with slope 1 and intercept 0."""
    spans = Spans([len(order)])
    arrays = (np.array(similarity, np.float32), np.array(order), np.array(by_score))
    return figures_of.adherence(*arrays, [1.0], 0.0, spans).structs()[0]


def test_adherence_by_hand() -> None:
    # Discounts 1, 1/log2(3), 1/2. Base order 0, 1, 0.5; fused order by index 2, 0, 1: 0.5, 0, 1; best 1, 0.5, 0.
    w = [1.0, 1 / np.log2(3), 0.5]
    base, fused, best = (
        sum(a * b for a, b in zip(w, x, strict=True)) / sum(w) for x in ([0, 1, 0.5], [0.5, 0, 1], [1, 0.5, 0])
    )
    figures = adherence([-np.inf, np.inf, 0], [2, 0, 1], [1, 2, 0])
    assert (figures.base, figures.fused, figures.best) == pytest.approx((base, fused, best), abs=1e-4)
    assert figures.gain == pytest.approx((fused - base) / (best - base), abs=1e-4)
    assert figures.overlap == 1.0


def test_no_headroom_gives_no_gain() -> None:
    assert adherence([0.5, 0.51], [1, 0], [1, 0]).gain is None


def test_an_item_of_which_nothing_is_known_is_aligned_with_nothing() -> None:
    figures = adherence([-np.inf, 50.0], [1, 0], [1, 0])
    assert figures.base == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)), abs=1e-4)
    assert (figures.fused, figures.gain) == (figures.best, 1.0)


def test_overlap_counts_the_base_top_that_stayed() -> None:
    order = [*range(5, 20), *range(5)]  # places 5..9 of the base top ten stay in the top ten
    assert adherence(np.linspace(0, 1, 20).tolist(), order, order).overlap == 0.5


def test_kendall_tau_by_hand() -> None:
    # Of the six pairs of 0 1 2 3 and 1 0 2 3 one disagrees: (5 - 1) / 6.
    assert kendall_tau(np.arange(4), np.array([1, 0, 2, 3])) == pytest.approx(4 / 6)
    assert kendall_tau(np.arange(5), np.arange(5)[::-1].copy()) == -1.0
    assert kendall_tau(np.arange(1), np.arange(1)) == 1.0
