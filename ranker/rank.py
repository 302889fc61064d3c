"""The whole ranking story: a candidate list and the control in force become a ranking."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranker.adherence import adherence
from ranker.errors import BadEvent
from ranker.events import CandidateList, Control, Degraded, Explanation, Ranking
from ranker.fusion import FUSIONS, RANKS, Method, Order, control_ranks, descending
from ranker.vectors import Floats, ItemVectors, Quantized


class Model(NamedTuple):
    """What a list is ranked with, apart from the user's control: the bundle's parts and the platform's choices."""

    bundle: str
    items: ItemVectors
    slope: float
    """alignment = 1 / (1 + exp(-(slope · cosine + intercept))), fitted when the bundle was made."""
    intercept: float
    weight: float
    """The weight where neither the list nor the control names one."""
    fusion: Method = "rank"


class Steering(NamedTuple):
    """A Control made ready once, to be used for many lists."""

    request_id: str
    bundle: str
    values: Floats
    """(d,) float32 of whole numbers."""
    scale: float
    weight: float | None
    expires_at: float | None

    @classmethod
    def of(cls, control: Control) -> "Steering":
        values = Quantized(control.vector, control.scale).floats()
        return cls(control.request_id, control.bundle, values, control.scale, control.weight, control.expires_at)


def _no_lap(_stage: str) -> None: ...


def rank(
    candidates: CandidateList,
    steering: Steering | None,
    model: Model,
    *,
    degraded: Degraded = "no_control",
    lap: Callable[[str], None] = _no_lap,
) -> Ranking:
    """Rank one list. `degraded` says why `steering` is missing; `lap` is called with each stage's name as it ends.

    Raises BadEvent(schema) for lists that do not line up, repeated items, and scores that are not finite.
    """
    ids, n = candidates.item_ids, len(candidates.item_ids)
    scores = _finite_scores(candidates)
    base = descending(scores)  # (n,) positions; from here on everything is in base order
    rows = model.items.rows(ids)[base]  # (n,)
    unknown = int(np.count_nonzero(rows < 0))
    _refuse_repeats(ids, rows, unknown, model)
    steering, why = _in_force(steering, candidates, model, degraded)
    weight = _weight(candidates, steering, model)
    lap("control")

    if steering is None or unknown == n:
        order, ranks, figures = RANKS[:n], None, None
    else:
        similarity, known = _similarity(rows, unknown, steering, model)
        lap("gather")
        by_score = descending(similarity)
        ranks = control_ranks(by_score, known)
        order = FUSIONS[model.fusion](scores[base], similarity, ranks, weight)
        figures = adherence(similarity, order, by_score, model.slope * steering.scale, model.intercept)
    lap("fuse")

    order = order[: candidates.top_k]
    return Ranking(
        event_id=candidates.event_id,
        user_id=candidates.user_id,
        item_ids=list(map(ids.__getitem__, base[order].tolist())),
        created_at=candidates.created_at,
        bundle=model.bundle,
        request_id=steering.request_id if steering else None,
        weight=weight,
        degraded=why or ("unknown_items" if unknown else None),
        unknown_items=unknown,
        adherence=figures,
        explain=_explanation(order, ranks) if candidates.explain else None,
    )


def _finite_scores(candidates: CandidateList) -> NDArray[np.float64]:
    n = len(candidates.item_ids)
    if len(candidates.base_scores) != n:
        raise BadEvent("schema", f"{n} item_ids but {len(candidates.base_scores)} base_scores")
    scores = np.fromiter(candidates.base_scores, np.float64, n)
    finite = np.isfinite(scores)
    if not finite.all():
        raise BadEvent("schema", f"base_scores[{finite.argmin()}] is not finite")
    return scores


def _refuse_repeats(ids: list[str], rows: NDArray[np.intp], unknown: int, model: Model) -> None:
    """Rows tell repeats at a third of the cost of hashing ids, but all unknown items have the same one."""
    if (unknown or model.items.repeated(rows)) and len(set(ids)) != len(ids):
        raise BadEvent("schema", f"item_ids holds {len(ids) - len(set(ids))} repeated ids")


def _in_force(
    steering: Steering | None, candidates: CandidateList, model: Model, degraded: Degraded
) -> tuple[Steering | None, Degraded | None]:
    """The control to apply, or None and why not. Expiry is by the list's own time, so that a replay agrees."""
    if steering is None:
        return None, degraded
    if steering.bundle != model.bundle:
        return None, "other_bundle"
    if steering.expires_at is not None and steering.expires_at <= candidates.created_at:
        return None, "control_expired"
    return steering, None


def _similarity(
    rows: NDArray[np.intp], unknown: int, steering: Steering, model: Model
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Scores (n,), NaN where unknown, and which are known (None for all)."""
    if not unknown:
        return model.items.scores(rows, steering.values), None
    known = rows >= 0
    similarity = np.full(len(rows), np.nan, np.float32)
    similarity[known] = model.items.scores(rows[known], steering.values)
    return similarity, known


def _explanation(order: Order, ranks: Order | None) -> Explanation:
    return Explanation(order.tolist(), None if ranks is None else ranks[order].tolist())


def _weight(candidates: CandidateList, steering: Steering | None, model: Model) -> float:
    if steering is None:
        return 0.0
    for weight in (candidates.weight, steering.weight):
        if weight is not None:
            return weight
    return model.weight
