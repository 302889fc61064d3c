"""Fuse the platform's order with the request's. Everything here is in base order: entry i is the item of base rank i.

A fusion takes `base_scores` (n,) float64 descending, `control_scores` (n,) float32 (NaN where an item has no vector),
`control_ranks` (n,) intp, a permutation of 0..n-1, and a weight in 0..1; it returns the fused order (n,) intp, best first,
as base ranks. Ties go to the better base rank, weight 0 gives the base order and weight 1 the control order, exactly.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ranker.events import MAX_CANDIDATES

Order = NDArray[np.intp]
Fusion = Callable[[NDArray[np.float64], NDArray[np.float32], Order, float], Order]
Method = Literal["rank", "score", "rrf"]

WEIGHT_STEPS = 1_000_000
RANKS = np.arange(MAX_CANDIDATES)
RRF_K = 60
"""The constant of reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009."""


def descending(scores: NDArray[np.floating[Any]]) -> Order:
    """Positions (n,) by descending score, ties by position, NaN last."""
    return (-scores).argsort(kind="stable")


def control_ranks(by_score: Order, known: NDArray[np.bool_] | None) -> Order:
    """Rank (n,) of each item on the control side; `by_score` (n,) is `descending(control_scores)`.

    Items that are not `known` keep their base rank; the known ones share out the places that are left.
    """
    n = len(by_score)
    if known is None:
        ranks = np.empty(n, np.intp)
        ranks[by_score] = RANKS[:n]
    else:
        ranks = np.arange(n)
        places = known.nonzero()[0]
        ranks[by_score[: len(places)]] = places
    return ranks


def fuse_ranks(_base: NDArray[np.float64], _control: NDArray[np.float32], control_ranks: Order, weight: float) -> Order:
    """Weighted rank interpolation (CTRL-Rec, section 3): ascending (1 - w) · base rank + w · control rank.

    In whole numbers, w being a multiple of 1e-6, so that ties are ties; the base rank in the lowest digits settles them
    and makes every key unique, so that sorting the keys alone yields the order.
    """
    n = len(control_ranks)
    step = round(weight * WEIGHT_STEPS)
    digits = 1 << n.bit_length()
    keys = RANKS[:n] * ((WEIGHT_STEPS - step) * digits + 1) + control_ranks * (step * digits)
    keys.sort()
    return keys & (digits - 1)


def fuse_scores(
    base_scores: NDArray[np.float64], control_scores: NDArray[np.float32], ranks: Order, weight: float
) -> Order:
    """Weighted interpolation of the scores, each mapped to 0..1 over this list; for comparison with `fuse_ranks`."""
    if weight in (0.0, 1.0):
        return fuse_ranks(base_scores, control_scores, ranks, weight)
    base = _unit(base_scores)
    # An item without a vector has no opinion of the request's: its base score stands on both sides.
    control = np.where(np.isnan(control_scores), base, _unit(control_scores.astype(np.float64)))
    return descending((1 - weight) * base + weight * control)


def fuse_reciprocal(_base: NDArray[np.float64], _control: NDArray[np.float32], ranks: Order, weight: float) -> Order:
    """Weighted reciprocal rank fusion, (1 - w) / (60 + rank) + w / (60 + rank) with ranks from 1; for comparison."""
    if weight in (0.0, 1.0):
        return fuse_ranks(_base, _control, ranks, weight)
    return descending((1 - weight) / (RRF_K + 1 + RANKS[: len(ranks)]) + weight / (RRF_K + 1 + ranks))


def _unit(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    if np.isnan(scores).all():
        return scores
    low, high = np.nanmin(scores), np.nanmax(scores)
    return (scores - low) / (high - low) if high > low else np.zeros_like(scores)


FUSIONS: dict[Method, Fusion] = {"rank": fuse_ranks, "score": fuse_scores, "rrf": fuse_reciprocal}
