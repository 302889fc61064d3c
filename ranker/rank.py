"""The whole ranking story: candidate lists and the controls in force become rankings, a run of lists at a time."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranker.adherence import Figures, adherence
from ranker.errors import BadEvent
from ranker.events import CandidateList, Degraded, Explanation, Ranking
from ranker.fusion import FUSIONS, Method, control_ranks
from ranker.ragged import MAX_ENTRIES, Order
from ranker.run import Asked, Flat, Steering, lay_out, why_expired
from ranker.vectors import Floats, ItemVectors

TOGETHER = 32
"""How many lists of a stream are worth ranking at a time; what more of them need falls out of the processor's caches."""


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


def _no_lap(_stage: str, _lists: int) -> None: ...


Lap = Callable[[str, int], None]
"""Called with a stage's name as it ends, and for how many lists it was."""


def rank(
    candidates: CandidateList,
    steering: Steering | None,
    model: Model,
    *,
    degraded: Degraded = "no_control",
    lap: Lap = _no_lap,
) -> Ranking:
    """Rank one list: a run of one. Raises BadEvent where `rank_run` returns it."""
    (answer,) = rank_run([Asked(candidates, steering, degraded)], model, lap=lap)
    if isinstance(answer, BadEvent):
        raise answer
    return answer


def rank_run(run: Sequence[Asked], model: Model, *, lap: Lap = _no_lap) -> list[Ranking | BadEvent]:
    """Rank a run of lists. What becomes of a list is the same, to the byte, whatever it is ranked beside.

    It is a BadEvent(schema) for a list that does not line up, repeats an item, or has scores that are not finite.
    """
    if len(run) > 1 and sum(len(asked.candidates.item_ids) for asked in run) > MAX_ENTRIES:
        half = len(run) // 2
        return rank_run(run[:half], model, lap=lap) + rank_run(run[half:], model, lap=lap)
    flat, refused = lay_out(run, model.items.rows)
    if flat is None:
        return [refused[place] for place in range(len(run))]
    ready = make_ready(flat, flat.numbers, model, lap=lap)
    answers = iter(rankings(ready, fuse(ready, lap=lap)))
    return [refused[place] if place in refused else next(answers) for place in range(len(run))]


class Ready(NamedTuple):
    """All that a run's rankings need, short of a weight and a way of fusing: several of those may share it."""

    flat: Flat
    model: Model
    unknown: list[int]
    in_force: list[tuple[Steering | None, Degraded | None]]
    steers: list[Steering | None]
    """What steers each list in fact: nothing where all its items are unknown."""
    similarity: Floats | None
    """(size,), and None where nothing is steered."""
    by_score: Order
    ranks: Order


class Fused(NamedTuple):
    """A run's fused order, and how well it follows the requests."""

    weights: list[float]
    order: Order
    """(size,): places of the base order, best first."""
    figures: Figures | None
    """None where nothing is steered; without meaning for a list that is not."""


def make_ready(flat: Flat, rows: NDArray[np.intp], model: Model, *, lap: Lap = _no_lap) -> Ready:
    """The control in force and its own order, from the `rows` (size,) of `model.items`, in base order, -1 where unknown."""
    run, spans = flat.run, flat.spans
    known = rows >= 0
    unknown = [0] * len(run) if known.all() else np.add.reduceat(~known, spans.starts, dtype=np.intp).tolist()
    in_force = [_in_force(asked, model) for asked in run]
    lap("control", len(run))

    steers = [
        steering if missing < length else None
        for (steering, _), missing, length in zip(in_force, unknown, spans.lengths, strict=True)
    ]
    steered = len(run) - steers.count(None)
    if not steered:
        return Ready(flat, model, unknown, in_force, steers, None, spans.positions, spans.positions)
    requests = [steer.values if steer else None for steer in steers]
    similarity = model.items.scores_of_run(rows, requests, spans.slices)
    lap("gather", steered)
    scored = None
    if any(unknown) or steered < len(run):
        similarity[~known] = -np.inf
        scored = similarity > -np.inf
    by_score = spans.descending(similarity)
    ranks = control_ranks(by_score, scored, spans)
    return Ready(flat, model, unknown, in_force, steers, similarity, by_score, ranks)


def fuse(ready: Ready, *, weight: float | None = None, fusion: Method | None = None, lap: Lap = _no_lap) -> Fused:
    """Fuse the two orders. `weight` stands in for every weight that a list or a request names, `fusion` for the model's."""
    flat, model, spans = ready.flat, ready.model, ready.flat.spans
    weights = [
        _weight(asked, steering, model, weight) for asked, (steering, _) in zip(flat.run, ready.in_force, strict=True)
    ]
    order, figures = spans.positions, None
    if ready.similarity is not None:
        order = FUSIONS[fusion or model.fusion](flat.scores, ready.similarity, ready.ranks, weights, spans)
        slopes = [model.slope * steer.scale if steer else 1.0 for steer in ready.steers]
        figures = adherence(ready.similarity, order, ready.by_score, slopes, model.intercept, spans)
    lap("fuse", len(flat.run))
    return Fused(weights, order, figures)


def rankings(ready: Ready, fused: Fused) -> list[Ranking]:
    """As they are sent, one for each list."""
    flat, order = ready.flat, fused.order
    fused_ids = np.array(flat.ids, object)[flat.base[order]].tolist()
    figures = fused.figures.structs() if fused.figures else None
    answers: list[Ranking] = []
    for place, (asked, (steering, why), steer, span) in enumerate(
        zip(flat.run, ready.in_force, ready.steers, flat.spans.slices, strict=True)
    ):
        each = asked.candidates
        top = span if each.top_k is None else slice(span.start, min(span.stop, span.start + each.top_k))
        ranks = ready.ranks if steer else None
        answers.append(
            Ranking(
                event_id=each.event_id,
                user_id=each.user_id,
                item_ids=fused_ids[top],
                created_at=each.created_at,
                bundle=ready.model.bundle,
                request_id=steering.request_id if steering else None,
                weight=fused.weights[place],
                degraded=why or ("unknown_items" if ready.unknown[place] else None),
                unknown_items=ready.unknown[place],
                adherence=figures[place] if figures and steer else None,
                explain=_explanation(order[top], ranks, span.start) if each.explain else None,
            )
        )
    return answers


def _in_force(asked: Asked, model: Model) -> tuple[Steering | None, Degraded | None]:
    """The control to apply, or None and why not. Expiry is by the list's own time, so that a replay agrees."""
    steering = asked.steering
    if steering is None:
        return None, asked.degraded
    expired = why_expired(steering.expires_at, asked.candidates.created_at)
    if steering.bundle != model.bundle and expired != "no_control":
        return None, "other_bundle"
    return (None, expired) if expired else (steering, None)


def _weight(asked: Asked, steering: Steering | None, model: Model, instead: float | None) -> float:
    if steering is None:
        return 0.0
    for weight in (instead, asked.candidates.weight, steering.weight):
        if weight is not None:
            return weight
    return model.weight


def _explanation(order: Order, ranks: Order | None, start: int) -> Explanation:
    """Ranks count from 0 in each list."""
    return Explanation((order - start).tolist(), None if ranks is None else (ranks[order] - start).tolist())
