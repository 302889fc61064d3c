"""The parts of a worker that exchange bundles, without Kafka and without models."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry

from monitoring.define import PREFIX
from monitoring.metrics import Metrics
from ranker.embed import RequestEmbedder
from ranker.events import CandidateList, ControlRequest, Ranking
from ranker.rank import rank
from ranker.run import Steering
from ranker.store import Pointer, Store
from streams import swap
from streams.agents import Agents
from streams.lateitems import LateItems
from streams.settings import Settings
from streams.swap import Opened, Swaps
from streams.transport import Part, Run
from streams.views import Controls
from streams.wire import decode_ranking, encode
from tests.smallbundle import SmallBundle
from tests.unit.records import control, record

A, B = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
ITEMS = [f"i{number}" for number in range(20)]


class Scene:
    """A worker's parts that serve A; the store is told what to hold."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.a, self.b = SmallBundle(version=A, salt="a"), SmallBundle(version=B, salt="b")
        self.loads: list[str] = []
        self.bundles: dict[str, Any] = {A: self.a, B: self.b}
        self.pointer: Any = Pointer(A)
        self.paused: Callable[[], Awaitable[None]] | None = None
        """Awaited before each text is embedded."""
        self.registry = CollectorRegistry()
        metrics, settings = Metrics(self.registry), Settings()
        model, embedder = self.a.model(), RequestEmbedder(self.a)
        self.controls = Controls(embedder, A, self.run)
        self.late = LateItems(model.items, embedder, A, self.run)
        self.agents = Agents(settings, model, embedder, self.controls, ThreadPoolExecutor(1), metrics)
        monkeypatch.setattr(Store, "load", lambda _, version, threads: self.load(version))
        monkeypatch.setattr(Store, "pointer", lambda _: self.read())
        monkeypatch.setattr(swap, "POLL", 0.005)
        opened: Any = Opened(self.a, self.pointer)  # type: ignore[arg-type]
        self.swaps = Swaps(settings, opened, self.agents, self.controls, self.late, metrics)

    def load(self, version: str) -> Any:
        self.loads.append(version)
        if isinstance(found := self.bundles[version], Exception):
            raise found
        return found

    def read(self) -> Pointer:
        if isinstance(self.pointer, Exception):
            raise self.pointer
        assert isinstance(self.pointer, Pointer)
        return self.pointer

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self.paused:
            await self.paused()
        return function(*arguments)

    async def ask(self, user: str, text: str, created_at: float = 1.0) -> None:
        if self.paused:
            await self.paused()  # a worker's requests go through the same thread as what is embedded again
        self.controls.apply([control(self.a, user, created_at, text)])
        while await self.controls.settle():
            pass

    async def ranking(self, user: str, items: list[str] = ITEMS) -> Ranking:
        value = encode(a_list(user, items))
        handled = await self.agents.rank_feed(Run([Part(TP("t", 0), [record(user.encode(), value)], 0)], 0))
        (output,) = handled.outputs
        assert output.value is not None
        ranking: Ranking = decode_ranking(output.value)
        return ranking

    def swapped(self, result: str) -> float | None:
        return self.registry.get_sample_value(f"{PREFIX}bundle_swaps_total", {"result": result})


def a_list(user: str, items: list[str]) -> CandidateList:
    scores = [float(-place) for place in range(len(items))]
    return CandidateList(event_id="e", user_id=user, item_ids=items, base_scores=scores, created_at=5)


def expected(bundle: SmallBundle, user: str, text: str, created_at: float = 1.0) -> Ranking:
    """What a worker that never served anything else answers."""
    asked = ControlRequest(event_id=f"{user}@{created_at}", user_id=user, op="set", text=text, created_at=created_at)
    return rank(a_list(user, ITEMS), Steering.of(RequestEmbedder(bundle).control(asked)), bundle.model())


def play(scene: Scene, story: Callable[[], Awaitable[None]]) -> None:
    async def both() -> None:
        following = asyncio.create_task(scene.swaps.follow())
        try:
            await story()
        finally:
            following.cancel()

    asyncio.run(asyncio.wait_for(both(), 20))


async def until(done: Callable[[], bool]) -> None:
    while not done():
        await asyncio.sleep(0.002)
