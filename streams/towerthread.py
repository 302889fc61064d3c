"""The thread on which towers work, so that the event loop does not."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class TowerThread(ThreadPoolExecutor):
    """One thread, and for how long it has been at its present call: who waits for it gives up, the call goes on."""

    def __init__(self) -> None:
        super().__init__(1, "tower")
        self._since: float | None = None

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Call it when those before are done."""
        return super().submit(self._timed, function, *args, **kwargs)

    def busy_for(self) -> float:
        """Seconds; 0 when it is idle. Safe to call from another thread."""
        since = self._since
        return 0.0 if since is None else monotonic() - since

    def _timed(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self._since = monotonic()
        try:
            return function(*args, **kwargs)
        finally:
            self._since = None
