"""How runs are sent and acknowledged; the rest of Faust is in tests/integration."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents import Handled
from streams.app import App, serve
from streams.outbox import Output
from streams.settings import Settings


class Broker:
    """The first run takes long to send, as one that has to be sent again does."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, outputs: list[Output], *, single: bool) -> None:
        await asyncio.sleep(0.2 if outputs[0].topic == "0" else 0)
        self.sent.append(outputs[0].topic)


class Stream:
    """Runs, all of partition 0."""

    def noack(self) -> "Stream":
        return self

    async def events(self) -> AsyncIterator[Any]:
        for number in range(3):
            yield SimpleNamespace(message=SimpleNamespace(partition=0, number=number))


@pytest.mark.parametrize("single", [False, True])
def test_what_replaces_each_other_is_sent_in_order(single: bool) -> None:
    app: Any = App(Settings())
    broker: Any = Broker()
    acked: list[int] = []
    agents: list[Callable[[Stream], Awaitable[None]]] = []
    app.consumer = SimpleNamespace(ack=lambda run: acked.append(run.number))
    app.agent = lambda *_, **__: agents.append

    async def handle(run: Any) -> Handled:
        return Handled([Output(str(run.number), 0, None, None)], lambda _: None)

    async def run() -> None:
        serve(app, "feed.items", "index_items", handle, broker, single=single)
        await agents[0](Stream())
        await asyncio.sleep(0.5)

    asyncio.run(run())
    assert broker.sent == (["0", "1", "2"] if single else ["1", "2", "0"])
    assert sorted(acked) == [0, 1, 2]


def test_a_run_that_waits_is_not_held() -> None:
    app = App(Settings())
    with app.in_hand("rank_feed"):
        time.sleep(0.1)
        assert app.held_for() >= 0.1
        app.waits("rank_feed")
        assert app.held_for() < 0.1
    assert app.held_for() <= 0
