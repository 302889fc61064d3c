"""What is due when."""

from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

K = TypeVar("K", bound=str)


class Timetable(Generic[K]):
    """A time for each key, and the keys whose time has come."""

    def __init__(self) -> None:
        self._times: dict[K, float] = {}
        self._heap: list[tuple[float, K]] = []
        """Some of it may have been put off or dropped since."""

    def __len__(self) -> int:
        return len(self._times)

    def set(self, key: K, time: float) -> None:
        """In place of the time that it had."""
        self._times[key] = time
        heappush(self._heap, (time, key))
        if len(self._heap) > 2 * len(self._times) + 64:
            self._heap = [(time, key) for key, time in self._times.items()]
            heapify(self._heap)

    def drop(self, key: K) -> None:
        """Nothing happens if it has no time."""
        self._times.pop(key, None)

    def due(self, now: float, most: int) -> list[K]:
        """Keys whose time has come, at most so many; they are dropped."""
        keys: list[K] = []
        while self._heap and self._heap[0][0] <= now and len(keys) < most:
            time, key = heappop(self._heap)
            if self._times.get(key) == time:
                del self._times[key]
                keys.append(key)
        return keys
