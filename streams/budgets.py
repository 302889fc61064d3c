"""What one user may ask of a worker, so that a flood of one is not the delay of all.

The clock is the records' own timestamps: a worker that catches up with a backlog refuses no more than one that kept pace.
Where they make no sense the worker's own clock goes on instead, so that one record of tomorrow locks nobody out until then.

What comes again was counted the first time, and is not again. A worker that takes a partition over begins with full
budgets. Either way a repeat may be answered where it was refused before.
"""

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from ranker.errors import BadEvent
from streams.transport import Record

BURST = 10.0
"""Seconds' worth that may come at once."""
REMEMBERED = 100_000
"""Users; one who was forgotten begins with a full budget."""


class Budgets:
    """A token bucket for each key of one topic's records."""

    def __init__(self, rate: float, what: str, clock: Callable[[], float] = monotonic) -> None:
        """`rate` events a second of each; 0 for no limit. `what` names the setting."""
        self._rate, self._most, self._what, self._clock = rate, max(1.0, rate * BURST), what, clock
        self._left: OrderedDict[bytes, tuple[float, float, float]] = OrderedDict()
        """What is left, as of which time of the records (milliseconds), and what our clock said then."""
        self._counted: dict[int, int] = {}
        """Partition → the last offset that was counted."""

    def take(self, record: Record) -> None:
        """Count a record against its key. Raises BadEvent(rate). Records without a key are nobody's."""
        key, dated = record.key, record.timestamp
        if not self._rate or key is None or record.offset <= self._counted.get(record.partition, -1):
            return
        self._counted[record.partition] = record.offset
        now = self._clock()
        left, at, seen = self._left.pop(key, (self._most, dated, now))
        senseless = dated <= 0 or at - dated > 1000 * BURST
        later = max(at, at + 1000 * (now - seen) if senseless else dated)
        left = min(self._most, left + (later - at) / 1000 * self._rate)
        over = left < 1
        self._left[key] = left if over else left - 1, later, now
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        if over:
            raise BadEvent("rate", f"its user is over {self._what}: {self._rate:g} a second")
