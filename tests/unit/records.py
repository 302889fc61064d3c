"""Records of a worker's compacted topics, for the views that are made of them."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ranker.embed import RequestEmbedder
from ranker.events import ControlRequest
from ranker.vectors import Floats
from streams.controlrecords import withdrawal
from streams.lateitems import LateItems
from streams.views import Controls
from streams.wire import encode
from tests.smallbundle import DIMENSION, HashTower, SmallBundle


async def at_once(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def record(key: bytes | None, value: bytes | None, headers: Any = (), partition: int = 0) -> Any:
    return SimpleNamespace(
        topic="t",
        partition=partition,
        offset=1,
        timestamp=5000,
        timestamp_type=0,
        key=key,
        value=value,
        headers=headers,
    )


def control(bundle: SmallBundle, user: str, created_at: float, text: str = "x", **more: Any) -> Any:
    asked = ControlRequest(
        event_id=f"{user}@{created_at}", user_id=user, op="set", text=text, created_at=created_at, **more
    )
    return record(user.encode(), encode(RequestEmbedder(bundle).control(asked)))


def withdrawn(user: str, created_at: float) -> Any:
    return record(user.encode(), None, withdrawal(created_at))


def apply(view: Controls | LateItems, *records: Any) -> None:
    view.apply(list(records))
    asyncio.run(_settled(view))


async def _settled(view: Controls | LateItems) -> None:
    while await view.settle():
        pass


class NoVector(HashTower):
    """Has no vector for anything."""

    def embed(self, text: str) -> Floats:
        return np.zeros(DIMENSION, np.float32)
