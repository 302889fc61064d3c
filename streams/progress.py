"""How far the runs of a partition are done, in whatever order they finish."""

import heapq


class Progress:
    """How far a partition is done. Runs may finish in any order; `done` only passes offsets that are all finished."""

    def __init__(self, done: int) -> None:
        self.done = done
        self._early: list[tuple[int, int]] = []

    def finish(self, start: int, end: int) -> None:
        heapq.heappush(self._early, (start, end))
        while self._early and self._early[0][0] <= self.done:
            self.done = max(self.done, heapq.heappop(self._early)[1])
