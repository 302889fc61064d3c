"""What a worker notes while it handles one run of candidate lists, to be counted all at once by `Metrics.ranked`."""

from time import perf_counter
from typing import Literal

STAGES = ("decode", "control", "embed", "gather", "fuse", "encode", "emit")
OUTCOMES = ("controlled", "base_only", "degraded", "error")

Outcome = Literal["controlled", "base_only", "degraded", "error"]


class CandidateRun:
    """Notes of one run. For each list: `start`, a `lap` as each stage ends, then `ranked` or `failed`."""

    __slots__ = ("_last", "created_at", "outcomes", "received_at", "sizes", "stages", "unknown_items")

    def __init__(self, received_at: float) -> None:
        """`received_at` is the wall clock, in seconds, when the run came in."""
        self.received_at = received_at
        self.stages: dict[str, list[float]] = {stage: [] for stage in STAGES}
        self.created_at: list[float] = []
        self.sizes: list[int] = []
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.unknown_items = 0
        self._last = 0.0

    def start(self) -> None:
        """A list begins; the first lap counts from here."""
        self._last = perf_counter()

    def lap(self, stage: str) -> None:
        """The stage ended now. Raises KeyError for what is not one of `STAGES`."""
        now = perf_counter()
        self.stages[stage].append(now - self._last)
        self._last = now

    def ranked(self, created_at: float, size: int, unknown_items: int, outcome: Outcome) -> None:
        """A list of `size` items, made at `created_at`, became a ranking."""
        self.created_at.append(created_at)
        self.sizes.append(size)
        self.outcomes[outcome] += 1
        if unknown_items:
            self.unknown_items += unknown_items

    def failed(self) -> None:
        """A list became a dead letter, which is counted by its reason with `Metrics.dead_letter`."""
        self.outcomes["error"] += 1
