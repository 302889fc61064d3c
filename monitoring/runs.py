"""What a worker notes while it handles one run of candidate lists, to be counted all at once by `Metrics.ranked`."""

from collections.abc import Iterable
from time import perf_counter
from typing import Literal

STAGES = ("decode", "control", "embed", "gather", "fuse", "encode", "emit")
OUTCOMES = ("controlled", "base_only", "degraded", "error", "refused")
OWN_FAULTS = ("deadline", "model", "bug")
"""Reasons of dead letters that are the service's own fault: `error`. Any other is of whoever sent the list: `refused`."""

Outcome = Literal["controlled", "base_only", "degraded"]


class CandidateRun:
    """Notes of one run. Lists are ranked several at a time: for each such batch `start`, a `lap` as each stage ends for
    all of them, and then `ranked` once, and `failed` for each list that is not."""

    __slots__ = ("_last", "created_at", "outcomes", "received_at", "sizes", "stages", "unknown_items")

    def __init__(self, received_at: float) -> None:
        """`received_at` is the wall clock, in seconds, when the run came in."""
        self.received_at = received_at
        self.stages: dict[str, list[tuple[float, int]]] = {stage: [] for stage in STAGES}
        """Seconds of one list, and of how many lists: what a batch took, shared out equally among its lists."""
        self.created_at: list[float] = []
        self.sizes: list[int] = []
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.unknown_items = 0
        self._last = 0.0

    def start(self) -> None:
        """A batch begins; the first lap counts from here."""
        self._last = perf_counter()

    def lap(self, stage: str, lists: int = 1) -> None:
        """The stage ended now, for so many lists. Raises KeyError for what is not one of `STAGES`."""
        now = perf_counter()
        if lists:
            self.stages[stage].append(((now - self._last) / lists, lists))
        self._last = now

    def ranked(
        self, created_at: Iterable[float], sizes: Iterable[int], unknown_items: int, outcomes: Iterable[Outcome]
    ) -> None:
        """Lists of so many items, made at these times, became rankings; `unknown_items` of all of them together."""
        self.created_at.extend(created_at)
        self.sizes.extend(sizes)
        self.unknown_items += unknown_items
        for outcome in outcomes:
            self.outcomes[outcome] += 1

    def failed(self, reason: str) -> None:
        """A list became a dead letter, which is counted by its reason with `Metrics.dead_letter`, too."""
        self.outcomes["error" if reason in OWN_FAULTS else "refused"] += 1
