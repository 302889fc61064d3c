"""Fuse the platform's order with the request's, for the lists of a run at once (see `ranker.ragged`).

Everything here is in base order: entry i of a list is its item of base rank i, and ranks and orders are positions in the
flat arrays. A fusion takes `base_scores` (size,) float64 descending in each list, `control_scores` (size,) float32 (-inf
where nothing is known of an item), `ranks` (size,), which permutes the positions of each list, and each list's weight in 0..1;
it returns the fused order (size,), best first. Ties go to the better base rank, weight 0 gives the base order and
weight 1 the control order, exactly.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ranker.ragged import Flags, Order, Spans

Doubles = NDArray[np.float64]
Fusion = Callable[[Doubles, NDArray[np.float32], Order, Sequence[float], Spans], Order]
Method = Literal["rank", "mixed", "score", "rrf"]

WEIGHT_STEPS = 1_000_000
RRF_K = 60
"""The constant of reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009."""


def control_ranks(by_score: Order, known: Flags | None, spans: Spans) -> Order:
    """Rank (size,) of each item on the control side; `by_score` (size,) is `spans.descending(control_scores)`.

    Items that are not `known` (None: all are) keep their base rank; the others share out the places that are left.
    """
    ranks = spans.positions.copy()
    if known is None:
        ranks[by_score] = spans.positions
    else:
        ranks[by_score[known[by_score]]] = known.nonzero()[0]
    return ranks


def fuse_ranks(
    _base: Doubles, _control: NDArray[np.float32], ranks: Order, weights: Sequence[float], spans: Spans
) -> Order:
    """Weighted rank interpolation (docs/method.md, Scoring with a request): ascending (1 - w) · base rank + w · control rank.

    In whole numbers, w being a multiple of 1e-6, so that ties are ties. That ranks are positions in the flat arrays adds
    the same to every item of a list.
    """
    step = spans.spread([round(weight * WEIGHT_STEPS) for weight in weights])
    return spans.order(spans.positions * ((WEIGHT_STEPS - step) * spans.radix + 1) + ranks * (step * spans.radix))


def fuse_mixed(
    _base: Doubles, control_scores: NDArray[np.float32], ranks: Order, weights: Sequence[float], spans: Spans
) -> Order:
    """Weighted interpolation of the base rank and the control score, each mapped to 0..1 over its list.

    Scores of the platform's may have any scale, hence its ranks; the request's scores say how near two items lie, and where
    they lie near each other, the platform's order stands.
    """
    steps = spans.spread(np.maximum(1, np.array(spans.lengths) - 1))
    base = 1 - (spans.positions - spans.spread(spans.starts)) / steps
    return _interpolated(base, control_scores, ranks, weights, spans)


def fuse_scores(
    base_scores: Doubles, control_scores: NDArray[np.float32], ranks: Order, weights: Sequence[float], spans: Spans
) -> Order:
    """Weighted interpolation of the scores, each mapped to 0..1 over its list; for comparison with `fuse_ranks`."""
    return _interpolated(_unit(base_scores, spans), control_scores, ranks, weights, spans)


def fuse_reciprocal(
    _base: Doubles, _control: NDArray[np.float32], ranks: Order, weights: Sequence[float], spans: Spans
) -> Order:
    """Weighted reciprocal rank fusion, (1 - w) / (60 + rank) + w / (60 + rank) with ranks from 1; for comparison."""
    weight, before = spans.spread(weights), spans.spread(spans.starts) - (RRF_K + 1)
    return _by_merit((1 - weight) / (spans.positions - before) + weight / (ranks - before), weight, ranks, spans)


def _interpolated(
    base: Doubles, control_scores: NDArray[np.float32], ranks: Order, weights: Sequence[float], spans: Spans
) -> Order:
    """Of `base` (size,) in 0..1 and of the control scores, mapped to it."""
    known = control_scores > -np.inf
    control = _unit(np.where(known, control_scores, np.nan).astype(np.float64), spans, np.nan)
    weight = spans.spread(weights)
    # Where the request has no opinion, of an item without a vector or when all are the same to it, the base merit stands on
    # both sides.
    return _by_merit((1 - weight) * base + weight * np.where(np.isnan(control), base, control), weight, ranks, spans)


def _by_merit(merit: Doubles, weight: Any, ranks: Order, spans: Spans) -> Order:
    """Positions by descending `merit`, but exactly the base order where the weight is 0, the control order where 1."""
    merit = np.where(np.isnan(merit), -np.inf, merit)
    return spans.descending(np.where(weight == 0, -spans.positions, np.where(weight == 1, -ranks, merit)))


def _unit(scores: Doubles, spans: Spans, same: float = 0.0) -> Doubles:
    """Each list's scores mapped to 0..1, or to `same` where they are; NaN is passed over and stays."""
    low, high = (spans.spread(extreme.reduceat(scores, spans.starts)) for extreme in (np.fmin, np.fmax))
    with np.errstate(all="ignore"):
        halves, low, high = scores / 2, low / 2, high / 2  # their difference is finite where that of the scores is not
        return np.where(high > low, (halves - low) / (high - low), scores - scores + same)


FUSIONS: dict[Method, Fusion] = {"rank": fuse_ranks, "mixed": fuse_mixed, "score": fuse_scores, "rrf": fuse_reciprocal}
