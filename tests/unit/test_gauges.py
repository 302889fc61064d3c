"""How far behind a worker is: told by the broker, or not told at all."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError
from prometheus_client import CollectorRegistry

from monitoring.define import PREFIX
from monitoring.metrics import Metrics
from streams import gauges

PLACE = ("feed.candidates", 0)


class Broker:
    """It answers, or does what it is told instead."""

    topic = "feed.controls"

    def __init__(self) -> None:
        self.asked: list[set[tuple[str, int]]] = []
        self.instead: Any = None

    async def ends(self, places: set[tuple[str, int]]) -> dict[tuple[str, int], int]:
        self.asked.append(places)
        if isinstance(self.instead, Exception):
            raise self.instead
        await asyncio.sleep(self.instead or 0)
        return dict.fromkeys(places, 12)


@pytest.mark.parametrize("instead", [KafkaTimeoutError(), 60])
def test_a_lag_that_is_not_told_is_absent(monkeypatch: pytest.MonkeyPatch, instead: Any) -> None:
    monkeypatch.setattr(gauges, "LAG_INTERVAL", 0.01)
    monkeypatch.setattr(gauges, "LAG_TIMEOUT", 0.05)
    broker, registry, committed = Broker(), CollectorRegistry(), {PLACE: 5}
    app: Any = SimpleNamespace(consumer=SimpleNamespace(committed=lambda: committed))

    def lag() -> float | None:
        labels = {"topic": PLACE[0], "partition": str(PLACE[1])}
        return registry.get_sample_value(f"{PREFIX}consumer_lag_events", labels)

    def told() -> float:
        return registry.get_sample_value(f"{PREFIX}consumer_lag_timestamp_seconds") or 0.0

    async def play() -> None:
        watching = asyncio.create_task(gauges.watch_lag(app, broker, Metrics(registry)))  # type: ignore[arg-type]
        await _until(lambda: lag() == 7)
        broker.instead = instead
        await _until(lambda: lag() is None)
        last = told()
        assert last > time.time() - 20
        await asyncio.sleep(0.1)
        assert told() == last
        broker.instead = None
        committed.clear()  # a worker without a partition asks all the same
        broker.asked.clear()
        await _until(lambda: told() > last)
        assert broker.asked[-1] == {("feed.controls", 0)}
        watching.cancel()

    asyncio.run(asyncio.wait_for(play(), 30))


async def _until(holds: Any) -> None:
    while not holds():
        await asyncio.sleep(0.005)
