"""What is to be written again in the vectors of the bundle that serves."""

from collections.abc import Callable, Iterable
from math import inf
from typing import Generic, TypeVar

AFTER, AGAIN = 5.0, 60.0
"""Seconds until the first look, for what is on its way already, and from the end of one to the next: what was written comes
back to us meanwhile."""
AT_ONCE, LOOKED_AT = 500, 20_000
"""Keys that are given, and keys that are looked at, at a time: there may be a million."""


K = TypeVar("K")


class Rewriting(Generic[K]):
    """Goes through the keys of a topic, some at a time, again and again until none is due."""

    def __init__(self) -> None:
        self._left: list[K] = []
        self._due, self._found = inf, False

    def begin(self, now: float) -> None:
        """Some may be due."""
        self._due = min(self._due, now + AFTER)

    def some(self, keys: Iterable[K], is_due: Callable[[K], bool], now: float) -> list[K]:
        """Keys that are due, of `keys` as they were when this look began."""
        if not self._left:
            if now < self._due:
                return []
            self._left, self._due, self._found = list(keys), inf, False
        found: list[K] = []
        for _ in range(min(len(self._left), LOOKED_AT)):
            if is_due(key := self._left.pop()):
                found.append(key)
                if len(found) == AT_ONCE:
                    break
        self._found |= bool(found)
        if not self._left and self._found:
            self._due = min(self._due, now + AGAIN)
        return found
