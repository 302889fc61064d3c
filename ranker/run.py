"""A run of lists laid end to end, each in the platform's own order, before anything is known of what steers it."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ranker.errors import BadEvent
from ranker.events import CandidateList, Control, Degraded
from ranker.ragged import Order, Spans
from ranker.vectors import Floats, Quantized

T = TypeVar("T")
KEPT = 86_400.0
"""Seconds for which a control is kept after it has expired, for lists that come so late, and what was withdrawn is
remembered: as long as Kafka by itself keeps the record of a withdrawal."""


def why_expired(expires_at: float | None, at: float) -> Degraded | None:
    """Why a control steers no list of the time `at`, in seconds: None if it does. What expired longer ago than it need be
    kept is as good as none, whether or not it was forgotten."""
    if expires_at is None or at < expires_at:
        return None
    return "control_expired" if at < expires_at + KEPT else "no_control"


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


Numbering = Callable[[list[str]], NDArray[np.intp]]


class Entries(NamedTuple):
    """The items of a run, end to end as they came: (size,) each."""

    lengths: list[int]
    """(lists,), none of them 0."""
    ids: Sequence[str] | NDArray[np.object_]
    scores: NDArray[np.float64]
    numbers: NDArray[np.intp]
    """Of each item, by whatever numbering was asked for; equal ones where ids are equal."""


class Flat(NamedTuple):
    """A run of lists end to end, in base order: flat arrays of (size,), which depend on no model."""

    run: Sequence[Asked]
    spans: Spans
    ids: Sequence[str] | NDArray[np.object_]
    """As they came; all else is in base order."""
    base: Order
    """The entry of `ids` at each place."""
    scores: NDArray[np.float64]
    numbers: NDArray[np.intp]

    @classmethod
    def of(cls, run: Sequence[Asked], entries: Entries) -> "Flat":
        """The entries of each list in its base order."""
        spans = Spans(entries.lengths)
        base = spans.descending(entries.scores)
        return cls(run, spans, entries.ids, base, entries.scores[base], entries.numbers[base])

    def repeating(self) -> list[int]:
        """Lists that hold a number twice. That need not be an item: all that are unknown may share one."""
        ordered = self.numbers.astype(np.int32)
        self.spans.sort(ordered)
        return self.spans.holding(ordered[1:] == ordered[:-1])

    def not_finite(self) -> list[int]:
        """Lists with scores that are not. In base order, those are at an end."""
        ends = np.isfinite(self.scores[[self.spans.starts, [end - 1 for end in self.spans.ends]]]).all(0)
        return np.flatnonzero(~ends).tolist()


def lay_out(run: Sequence[Asked], number: Numbering) -> tuple[Flat | None, dict[int, BadEvent]]:
    """Lay lists end to end, each in the platform's own order; and those which cannot be ranked by whatever model, by
    their place in the run. None if there are no others.

    `number` gives whole numbers for ids, equal ones where those are equal: to look for repeats by them is quick.
    """
    refused = _misaligned(run)
    while good := [asked for place, asked in enumerate(run) if place not in refused] if refused else run:
        lengths = [len(asked.candidates.item_ids) for asked in good]
        ids = _end_to_end([asked.candidates.item_ids for asked in good])
        scores = _end_to_end([asked.candidates.base_scores for asked in good])
        flat = Flat.of(good, Entries(lengths, ids, np.fromiter(scores, np.float64, len(ids)), number(ids)))
        wrong = _repeated(flat) | _infinite(flat)
        if not wrong:
            return flat, refused
        places = [place for place in range(len(run)) if place not in refused]
        refused |= {places[place]: error for place, error in wrong.items()}
    return None, refused


def _end_to_end(lists: list[list[T]]) -> list[T]:
    return lists[0] if len(lists) == 1 else list(chain.from_iterable(lists))


def _misaligned(run: Sequence[Asked]) -> dict[int, BadEvent]:
    return {
        place: BadEvent("schema", f"{len(each.item_ids)} item_ids but {len(each.base_scores)} base_scores")
        for place, (each, _, _) in enumerate(run)
        if len(each.item_ids) != len(each.base_scores)
    }


def _infinite(flat: Flat) -> dict[int, BadEvent]:
    refused = {}
    for place in flat.not_finite():
        finite = np.isfinite(flat.run[place].candidates.base_scores)
        refused[place] = BadEvent("schema", f"base_scores[{finite.argmin()}] is not finite")
    return refused


def _repeated(flat: Flat) -> dict[int, BadEvent]:
    refused = {}
    for place in flat.repeating():
        ids = flat.run[place].candidates.item_ids
        if repeats := len(ids) - len(set(ids)):
            refused[place] = BadEvent("schema", f"item_ids holds {repeats} repeated ids")
    return refused
