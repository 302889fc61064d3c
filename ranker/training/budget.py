"""When a phase of training ends: after so many steps, or after so many seconds."""

import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """Exactly one of the two is set. Steps make a run repeatable; seconds make it end in time on any machine."""

    steps: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.seconds is None):
            raise ValueError("a budget is either steps or seconds")

    def part(self, share: float) -> "Budget":
        """This share of the budget, at least one step of it."""
        if self.steps is not None:
            return Budget(steps=max(1, round(self.steps * share)))
        assert self.seconds is not None
        return Budget(seconds=self.seconds * share)

    def progress(self, step: int = 0, seconds: float = 0.0) -> Iterator[float]:
        """Before each step, how much of the budget is spent, in [0, 1); ends when it is. At least one step is taken.

        `step` and `seconds` are what was spent before, by a run that this one goes on with.
        """
        started = time.monotonic() - seconds
        while True:
            spent = step / self.steps if self.steps is not None else self._elapsed(started)
            if spent >= 1 and step:
                return
            yield min(spent, 0.999)
            step += 1

    def _elapsed(self, started: float) -> float:
        assert self.seconds is not None
        return (time.monotonic() - started) / max(self.seconds, 1e-9)
