"""What one user may ask of a worker, so that a flood of one is not the delay of all.

The clock is the records' own timestamps: the same records from the same start meet the same end. A worker that takes a
partition over begins with full budgets, so a repeat across that moment may be answered where it was refused before.
"""

from collections import OrderedDict

from ranker.errors import BadEvent

BURST = 10.0
"""Seconds' worth that may come at once."""
REMEMBERED = 100_000
"""Users; one who was forgotten begins with a full budget."""


class Budgets:
    """A token bucket for each key."""

    def __init__(self, rate: float, what: str) -> None:
        """`rate` events a second of each; 0 for no limit. `what` names the setting."""
        self._rate, self._most, self._what = rate, max(1.0, rate * BURST), what
        self._left: OrderedDict[bytes, tuple[float, int]] = OrderedDict()

    def take(self, key: bytes | None, now: int) -> None:
        """One event of this key, dated `now` (milliseconds). Raises BadEvent(rate). Records without a key are nobody's."""
        if not self._rate or key is None:
            return
        left, since = self._left.pop(key, (self._most, now))
        left = min(self._most, left + max(0, now - since) / 1000 * self._rate)
        over = left < 1
        self._left[key] = left if over else left - 1, max(since, now)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        if over:
            raise BadEvent("rate", f"its user is over {self._what}: {self._rate:g} a second")
