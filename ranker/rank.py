"""The whole ranking story: a candidate list and the control in force become a ranking."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranker.adherence import adherence
from ranker.errors import BadEvent
from ranker.events import CandidateList, Control, Degraded, Explanation, Ranking
from ranker.fusion import FUSIONS, Method, base_order, control_ranks
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
    scores = _checked_scores(candidates)
    base = base_order(scores)  # (n,) positions; from here on everything is in base order
    steering, why = _in_force(steering, candidates, model, degraded)
    lap("control")

    rows = model.items.rows(ids)[base]  # (n,)
    unknown = int(np.count_nonzero(rows < 0))
    if steering is None or unknown == n:
        order, ranks, figures = np.arange(n), None, None
    else:
        similarity, known = _similarity(rows, unknown, steering, model)
        lap("gather")
        ranks = control_ranks(similarity, known)
        weight = _weight(candidates, steering, model)
        order = FUSIONS[model.fusion](scores[base], similarity, ranks, weight)
        logits = similarity * np.float32(steering.scale * model.slope) + np.float32(model.intercept)
        alignment = 1 / (1 + np.exp(-logits))
        figures = adherence(alignment if known is None else np.where(known, alignment, np.float32(0)), order)
    lap("fuse")

    order = order[: candidates.top_k]
    return Ranking(
        event_id=candidates.event_id,
        user_id=candidates.user_id,
        item_ids=[ids[position] for position in base[order].tolist()],
        created_at=candidates.created_at,
        bundle=model.bundle,
        request_id=steering.request_id if steering else None,
        weight=_weight(candidates, steering, model) if steering else 0.0,
        degraded=why or ("unknown_items" if unknown else None),
        unknown_items=unknown,
        adherence=figures,
        explain=Explanation(order.tolist(), None if ranks is None else ranks[order].tolist()) if candidates.explain else None,
    )


def _checked_scores(candidates: CandidateList) -> NDArray[np.float64]:
    n = len(candidates.item_ids)
    if len(candidates.base_scores) != n:
        raise BadEvent("schema", f"{n} item_ids but {len(candidates.base_scores)} base_scores")
    if len(set(candidates.item_ids)) != n:
        raise BadEvent("schema", f"item_ids holds {n - len(set(candidates.item_ids))} repeated ids")
    scores = np.fromiter(candidates.base_scores, np.float64, n)
    if not np.isfinite(scores).all():
        raise BadEvent("schema", f"base_scores[{int(np.argmin(np.isfinite(scores)))}] is not finite")
    return scores


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


def _weight(candidates: CandidateList, steering: Steering, model: Model) -> float:
    for weight in (candidates.weight, steering.weight):
        if weight is not None:
            return weight
    return model.weight
