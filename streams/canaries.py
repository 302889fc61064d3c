"""Golden requests run through the bundle that serves, again and again, for as long as the worker lives."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, time

from monitoring.metrics import Metrics
from ranker.canaries import CanarySet, means, measure
from streams.agents import Agents, Serving

log = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds between two looks at whether another bundle serves: its canaries run at once."""


class Canaries:
    """Runs them, for ever, each `interval` seconds.

    The tower works on a thread of its own, past the cache, so that nobody's request waits for a canary and a broken tower
    cannot hide behind vectors that it made when it was whole. Only the ranking, a tenth of a millisecond each, is the event
    loop's: the item vectors that serve may be read nowhere else.
    """

    def __init__(self, agents: Agents, metrics: Metrics, interval: float) -> None:
        self._agents, self._metrics, self._interval = agents, metrics, interval
        self._thread = ThreadPoolExecutor(1, "canaries")

    async def follow(self) -> None:
        ran: Serving | None = None
        due = 0.0
        try:
            while True:
                serving = self._agents.serving
                if serving is not ran or monotonic() >= due:
                    ran, due = serving, monotonic() + self._interval
                    await self._run(serving)
                await asyncio.sleep(LOOK)
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, serving: Serving) -> None:
        known = serving.embedder.canaries
        self._metrics.quality.canaries(time(), {}, known.baseline if known else {})
        if known and (figures := await self._figures(known, serving)) is not None:
            self._metrics.quality.canaries(time(), means(known.canaries, figures), known.baseline)

    async def _figures(self, known: CanarySet, serving: Serving) -> list[float] | None:
        """One for each canary; None where another bundle took over meanwhile, whose turn it then is."""
        loop, figures = asyncio.get_running_loop(), list[float]()
        for canary in known.canaries:
            try:
                vector = await loop.run_in_executor(self._thread, serving.embedder.uncached, canary.text)
                figure = measure(canary, vector, serving.model)
            except Exception as error:  # noqa: BLE001  that a tower is broken is theirs to tell
                log.error("a golden request cannot be ranked: %s", error)
                figure = 0.0
            if serving is not self._agents.serving:
                return None
            figures.append(figure)
        return figures
