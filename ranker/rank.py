"""The whole ranking story: candidate lists and the controls in force become rankings, a run of lists at a time."""

from collections.abc import Callable, Sequence
from itertools import chain
from math import isfinite
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ranker.adherence import adherence
from ranker.errors import BadEvent
from ranker.events import CandidateList, Control, Degraded, Explanation, Ranking
from ranker.fusion import FUSIONS, Method, control_ranks
from ranker.ragged import MAX_ENTRIES, Order, Spans
from ranker.vectors import Floats, ItemVectors, Quantized

T = TypeVar("T")
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


class Steering(NamedTuple):
    """A Control made ready once, to be used for many lists."""

    request_id: str
    bundle: str
    values: Floats
    """(d,) float32 of whole numbers."""
    scale: float
    weight: float | None
    expires_at: float | None
    ood: bool = False
    """Whether the request is unlike those that the bundle was made with; nothing but figures depends on it."""

    @classmethod
    def of(cls, control: Control) -> "Steering":
        values = Quantized(control.vector, control.scale).floats()
        control_of = control.request_id, control.bundle
        return cls(*control_of, values, control.scale, control.weight, control.expires_at, control.ood)


class Asked(NamedTuple):
    """One list to be ranked, and what steers it."""

    candidates: CandidateList
    steering: Steering | None
    degraded: Degraded = "no_control"
    """Why `steering` is missing."""


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
    lists = [asked.candidates for asked in run]
    if not lists:
        return []
    if len(run) > 1 and sum(len(each.item_ids) for each in lists) > MAX_ENTRIES:
        half = len(run) // 2
        return rank_run(run[:half], model, lap=lap) + rank_run(run[half:], model, lap=lap)
    if refused := _misaligned(lists):
        return _without(refused, run, model, lap)
    spans = Spans([len(each.item_ids) for each in lists])  # all lists end to end, in flat arrays of (size,)
    ids = _end_to_end([each.item_ids for each in lists])
    scores = np.fromiter(_end_to_end([each.base_scores for each in lists]), np.float64, spans.size)
    rows = model.items.rows(ids)
    base = spans.descending(scores)  # positions; from here on everything is in base order
    scores, rows = scores[base], rows[base]
    unknown, repeated = _unknown_and_repeated(rows, spans)
    if refused := _repeating(lists, repeated) | _not_finite(lists, scores, spans):
        return _without(refused, run, model, lap)
    in_force = [_in_force(asked, model) for asked in run]
    weights = [_weight(each, steering, model) for each, (steering, _) in zip(lists, in_force, strict=True)]
    lap("control", len(run))

    steers = [
        steering if missing < length else None
        for (steering, _), missing, length in zip(in_force, unknown, spans.lengths, strict=True)
    ]
    order, ranks, figures = spans.positions, spans.positions, None
    if steered := len(run) - steers.count(None):
        requests = [steer.values if steer else None for steer in steers]
        similarity = model.items.scores_of_run(rows, requests, spans.slices)
        lap("gather", steered)
        known = None
        if any(unknown) or steered < len(run):
            similarity[rows < 0] = -np.inf
            known = similarity > -np.inf
        by_score = spans.descending(similarity)
        ranks = control_ranks(by_score, known, spans)
        order = FUSIONS[model.fusion](scores, similarity, ranks, weights, spans)
        slopes = [model.slope * steer.scale if steer else 1.0 for steer in steers]
        figures = adherence(similarity, order, by_score, slopes, model.intercept, spans)
    lap("fuse", len(run))

    fused_ids = np.array(ids, object)[base[order]].tolist()
    answers: list[Ranking | BadEvent] = []
    for place, (each, (steering, why), steer, span) in enumerate(
        zip(lists, in_force, steers, spans.slices, strict=True)
    ):
        top = span if each.top_k is None else slice(span.start, min(span.stop, span.start + each.top_k))
        answers.append(
            Ranking(
                event_id=each.event_id,
                user_id=each.user_id,
                item_ids=fused_ids[top],
                created_at=each.created_at,
                bundle=model.bundle,
                request_id=steering.request_id if steering else None,
                weight=weights[place],
                degraded=why or ("unknown_items" if unknown[place] else None),
                unknown_items=unknown[place],
                adherence=figures[place] if figures and steer else None,
                explain=_explanation(order[top], ranks if steer else None, span.start) if each.explain else None,
            )
        )
    return answers


def _end_to_end(lists: list[list[T]]) -> list[T]:
    return lists[0] if len(lists) == 1 else list(chain.from_iterable(lists))


def _without(refused: dict[int, BadEvent], run: Sequence[Asked], model: Model, lap: Lap) -> list[Ranking | BadEvent]:
    """Rank the others."""
    others = [asked for place, asked in enumerate(run) if place not in refused]
    answers = iter(rank_run(others, model, lap=lap))
    return [refused[place] if place in refused else next(answers) for place in range(len(run))]


def _misaligned(lists: Sequence[CandidateList]) -> dict[int, BadEvent]:
    return {
        place: BadEvent("schema", f"{len(each.item_ids)} item_ids but {len(each.base_scores)} base_scores")
        for place, each in enumerate(lists)
        if len(each.item_ids) != len(each.base_scores)
    }


def _not_finite(lists: Sequence[CandidateList], scores: NDArray[np.float64], spans: Spans) -> dict[int, BadEvent]:
    """In base order, what is not finite is at an end."""
    refused = {}
    for place, (each, start, end) in enumerate(zip(lists, spans.starts, spans.ends, strict=True)):
        if not (isfinite(scores[start]) and isfinite(scores[end - 1])):
            finite = np.isfinite(each.base_scores)
            refused[place] = BadEvent("schema", f"base_scores[{finite.argmin()}] is not finite")
    return refused


def _unknown_and_repeated(rows: NDArray[np.intp], spans: Spans) -> tuple[list[int], list[int]]:
    """How many items of each list are unknown; and the lists that hold a row twice, be it that of the unknown ones."""
    ordered = rows.astype(np.int32)
    spans.sort(ordered)
    unknown = [0 if ordered[span.start] >= 0 else int(ordered[span].searchsorted(0)) for span in spans.slices]
    return unknown, spans.holding(ordered[1:] == ordered[:-1])


def _repeating(lists: Sequence[CandidateList], suspects: list[int]) -> dict[int, BadEvent]:
    refused = {}
    for place in suspects:
        ids = lists[place].item_ids
        if repeats := len(ids) - len(set(ids)):
            refused[place] = BadEvent("schema", f"item_ids holds {repeats} repeated ids")
    return refused


def _in_force(asked: Asked, model: Model) -> tuple[Steering | None, Degraded | None]:
    """The control to apply, or None and why not. Expiry is by the list's own time, so that a replay agrees."""
    steering = asked.steering
    if steering is None:
        return None, asked.degraded
    if steering.bundle != model.bundle:
        return None, "other_bundle"
    if steering.expires_at is not None and steering.expires_at <= asked.candidates.created_at:
        return None, "control_expired"
    return steering, None


def _weight(candidates: CandidateList, steering: Steering | None, model: Model) -> float:
    if steering is None:
        return 0.0
    for weight in (candidates.weight, steering.weight):
        if weight is not None:
            return weight
    return model.weight


def _explanation(order: Order, ranks: Order | None, start: int) -> Explanation:
    """Ranks count from 0 in each list."""
    return Explanation((order - start).tolist(), None if ranks is None else (ranks[order] - start).tolist())
