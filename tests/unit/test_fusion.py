from fractions import Fraction
from typing import get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker import fusion
from ranker.experiments.cli import reachability
from ranker.fusion import FUSIONS, Fusion
from ranker.ragged import Order, Spans
from streams.settings import Settings

NOTHING, NO_SCORES = np.empty(0), np.empty(0, np.float32)


def descending(scores: np.ndarray) -> Order:
    return Spans([len(scores)]).descending(scores)


def control_ranks(by_score: Order, known: np.ndarray | None) -> Order:
    return fusion.control_ranks(by_score, known, Spans([len(by_score)]))


def fused(fuse: Fusion, base: np.ndarray, control: np.ndarray, ranks: Order, weight: float) -> list[int]:
    """Of a single list."""
    return fuse(base, control, ranks, [weight], Spans([len(ranks)])).tolist()  # type: ignore[no-any-return]


@st.composite
def lists(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Base scores descending, control scores with ties and -inf for unknown items, and which items are known."""
    n = draw(st.integers(1, 40))
    base = sorted(draw(st.lists(st.integers(-5, 5), min_size=n, max_size=n)), reverse=True)
    control = draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n))
    known = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return np.array(base, float), np.where(known, np.array(control, np.float32), np.float32(-np.inf)), np.array(known)


def test_descending_breaks_ties_by_place_in_the_list() -> None:
    assert descending(np.array([1.0, 3.0, 3.0, 2.0, 3.0])).tolist() == [1, 2, 4, 3, 0]


def test_control_ranks_by_hand() -> None:
    assert control_ranks(descending(np.array([0.1, 0.9, 0.1, 0.5], np.float32)), None).tolist() == [2, 0, 3, 1]


def test_unknown_items_keep_their_place_and_the_others_share_the_rest() -> None:
    scores = np.array([0.1, -np.inf, 0.9, 0.5], np.float32)
    assert control_ranks(descending(scores), np.isfinite(scores)).tolist() == [3, 1, 0, 2]


def test_fuse_ranks_by_hand() -> None:
    # Item: base rank, control rank, (1 - w) · base + w · control with w = 0.25.
    # 0: 0, 3 → 0.75;  1: 1, 0 → 0.75;  2: 2, 2 → 2;  3: 3, 1 → 2.5.  The tie of 0 and 1 goes to the better base rank.
    assert fused(fusion.fuse_ranks, NOTHING, NO_SCORES, np.array([3, 0, 2, 1]), 0.25) == [0, 1, 2, 3]
    assert fused(fusion.fuse_ranks, NOTHING, NO_SCORES, np.array([3, 0, 2, 1]), 0.26) == [1, 0, 2, 3]


def test_reciprocal_by_hand() -> None:
    ranks, w = [3, 0, 2, 1], 0.5
    merit = [(1 - w) / (60 + 1 + base) + w / (60 + 1 + rank) for base, rank in enumerate(ranks)]
    expected = sorted(range(4), key=lambda item: -merit[item])
    assert fused(fusion.fuse_reciprocal, NOTHING, NO_SCORES, np.array(ranks), w) == expected


def test_mixed_fusion_by_hand() -> None:
    # Base merits 1, ⅔, ⅓, 0 whatever the scores; control 0, 1, 0.9, 0.5 of what is known. With w = 0.5, doubled:
    # 1, ⅔ + 1, ⅓ + 0.9, 0.5; without a vector the second has ⅔ twice.
    base, control = np.array([9e9, 3.0, 2.9, -5.0]), np.array([0.0, 1.0, 0.9, 0.5], np.float32)
    assert fused(fusion.fuse_mixed, base, control, np.array([3, 0, 1, 2]), 0.5) == [1, 2, 0, 3]
    control[1] = -np.inf  # the others: 1, ⅓ + 1, 0.56
    assert fused(fusion.fuse_mixed, base, control, np.array([3, 1, 0, 2]), 0.5) == [1, 2, 0, 3]
    assert fused(fusion.fuse_mixed, base[:1], control[:1], np.array([0]), 0.5) == [0]
    control[1:] = -np.inf  # one item alone has a vector: nothing tells it from the others
    assert fused(fusion.fuse_mixed, base, control, np.arange(4), 0.8) == [0, 1, 2, 3]


def test_score_fusion_by_hand() -> None:
    base, control = np.array([10.0, 9.0, 0.0]), np.array([0.0, 0.5, 1.0], np.float32)
    # Unit scores: base 1, 0.9, 0; control 0, 0.5, 1; at w = 0.4: 0.6, 0.74, 0.4.
    assert fused(fusion.fuse_scores, base, control, np.array([2, 1, 0]), 0.4) == [1, 0, 2]


@given(lists(), st.integers(0, 1_000_000))
def test_rank_fusion_is_the_exact_sort_of_exact_fractions(lists: tuple[np.ndarray, ...], millionths: int) -> None:
    base, control, known = lists
    ranks = control_ranks(descending(control), known)
    weight = Fraction(millionths, 1_000_000)
    expected = sorted(range(len(base)), key=lambda item: ((1 - weight) * item + weight * int(ranks[item]), item))
    assert fused(fusion.fuse_ranks, base, control, ranks, millionths / 1_000_000) == expected


@pytest.mark.parametrize("method", FUSIONS)
@given(lists=lists(), weight=st.floats(0, 1))
def test_every_fusion_is_a_permutation_with_exact_ends(
    method: str, lists: tuple[np.ndarray, ...], weight: float
) -> None:
    base, control, known = lists
    ranks = control_ranks(descending(control), known)
    fuse = FUSIONS[method]  # type: ignore[index]
    n = len(base)
    assert sorted(fused(fuse, base, control, ranks, weight)) == list(range(n))
    assert fused(fuse, base, control, ranks, 0.0) == list(range(n))
    assert ranks[fused(fuse, base, control, ranks, 1.0)].tolist() == list(range(n))


@given(lists())
def test_control_ranks_are_a_permutation_that_leaves_unknown_items_alone(lists: tuple[np.ndarray, ...]) -> None:
    _, control, known = lists
    ranks = control_ranks(descending(control), known)
    assert sorted(ranks.tolist()) == list(range(len(control)))
    assert (ranks[~known] == np.flatnonzero(~known)).all()
    by_rank = control[np.argsort(ranks)][np.sort(ranks[known])]
    assert (np.diff(by_rank) <= 0).all()


def test_every_fusion_can_be_set_and_measured() -> None:
    for asked in (Settings, reachability):
        assert get_args(get_type_hints(asked)["fusion"]) == tuple(FUSIONS)
