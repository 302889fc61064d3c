"""Whether the worker is alive and whether it is ready, as its own parts report it."""

import asyncio
import time
from collections.abc import Callable
from threading import Lock

from monitoring.metrics import Metrics

CONDITIONS = ("bundle_loaded", "partitions_assigned", "controls_recovered", "not_draining")
STALE_AFTER = 10.0
STARTING = 60.0


class Health:
    """Alive while the event loop beats; ready while every condition holds. Safe to use from several threads."""

    def __init__(self, *, stale_after: float = STALE_AFTER, clock: Callable[[], float] = time.monotonic) -> None:
        """`stale_after` is how many seconds the event loop may be silent; it has a minute for its first beat."""
        self._stale_after, self._clock, self._lock = stale_after, clock, Lock()
        self._started = clock()
        self._beat: float | None = None
        self._holds = dict.fromkeys(CONDITIONS, False) | {"not_draining": True}

    def beat(self) -> None:
        """The event loop is running."""
        self._beat = self._clock()

    def set(self, condition: str, holds: bool) -> None:
        """Raises KeyError for what is not one of `CONDITIONS`."""
        with self._lock:
            if condition not in self._holds:
                raise KeyError(condition)
            self._holds[condition] = holds

    def silent_for(self) -> float:
        """Seconds since the event loop's last beat, or since the start."""
        return self._clock() - (self._started if self._beat is None else self._beat)

    def alive(self) -> bool:
        return self.silent_for() <= (STARTING if self._beat is None else self._stale_after)

    def conditions(self) -> dict[str, bool]:
        with self._lock:
            return dict(self._holds)

    def ready(self) -> bool:
        return all(self.conditions().values())


async def heartbeat(health: Health, metrics: Metrics, interval: float = 0.5) -> None:
    """Beat for ever, and measure how late the event loop wakes up; cancel it to end it."""
    loop, late = asyncio.get_running_loop(), 0.0
    while True:
        health.beat()
        metrics.beat(time.time(), late)
        due = loop.time() + interval
        await asyncio.sleep(interval)
        late = loop.time() - due
