import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from ranker.embed import RequestEmbedder
from ranker.events import ControlRequest, ItemUpsert
from ranker.vectors import Floats
from streams.views import Controls, LateItems, withdrawal, withdrawn_at
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


def control(bundle: SmallBundle, user: str, created_at: float, text: str = "x") -> Any:
    asked = ControlRequest(event_id=f"{user}@{created_at}", user_id=user, op="set", text=text, created_at=created_at)
    return record(user.encode(), encode(RequestEmbedder(bundle).control(asked)))


def withdrawn(user: str, created_at: float) -> Any:
    return record(user.encode(), None, withdrawal(created_at))


@pytest.fixture
def bundle() -> SmallBundle:
    return SmallBundle()


@pytest.fixture
def controls(bundle: SmallBundle) -> Controls:
    return Controls(RequestEmbedder(bundle), bundle.version, at_once)


def apply(view: Controls | LateItems, *records: Any) -> None:
    asyncio.run(view.apply(list(records)))


def in_force(controls: Controls, user: str) -> str | None:
    steering = controls.of(0).get(user)
    return steering.request_id if steering else None


def test_the_newest_wins_whatever_comes_late(bundle: SmallBundle, controls: Controls) -> None:
    apply(controls, control(bundle, "u", 1), control(bundle, "u", 3))
    assert in_force(controls, "u") == "u@3"
    apply(controls, control(bundle, "u", 2), withdrawn("u", 2.5))
    assert in_force(controls, "u") == "u@3"
    apply(controls, withdrawn("u", 3))
    assert in_force(controls, "u") is None
    apply(controls, control(bundle, "u", 3 - 1e-9), control(bundle, "v", 1))
    assert (in_force(controls, "u"), in_force(controls, "v"), len(controls)) == (None, "v@1", 1)
    apply(controls, control(bundle, "u", 4))
    assert in_force(controls, "u") == "u@4"


def test_a_withdrawal_without_a_time_has_that_of_its_record() -> None:
    assert withdrawn_at(withdrawn("u", 1e-300)) == 1e-300
    assert withdrawn_at(record(b"u", None)) == 5.0


def test_a_lost_partition_is_forgotten_but_not_under_a_run_that_began(bundle: SmallBundle, controls: Controls) -> None:
    apply(controls, control(bundle, "u", 1))
    begun = controls.of(0)
    apply(controls, control(bundle, "v", 1))
    assert set(begun) == {"u", "v"}
    controls.keep_only([1])
    assert set(begun) == {"u", "v"}
    assert len(controls) == 0
    apply(controls, control(bundle, "u", 0))
    assert in_force(controls, "u") == "u@0"


def test_another_bundles_controls_are_embedded_again(bundle: SmallBundle, controls: Controls) -> None:
    other = SmallBundle(version="other")
    apply(controls, control(bundle, "u", 1, "same text"), control(other, "v", 1, "same text"))
    first, second = controls.of(0)["u"], controls.of(0)["v"]
    assert second.bundle == first.bundle == bundle.version
    assert controls.stale == 1
    assert second.values.tobytes() == first.values.tobytes()


class NoVector(HashTower):
    """Has no vector for anything."""

    def embed(self, text: str) -> Floats:
        return np.zeros(DIMENSION, np.float32)


def test_what_cannot_be_used_is_passed_over(bundle: SmallBundle, caplog: pytest.LogCaptureFixture) -> None:
    broken = SmallBundle()
    broken.request_tower = broken.item_tower = NoVector()
    controls = Controls(RequestEmbedder(broken), bundle.version, at_once)
    other = SmallBundle(version="other")
    apply(controls, record(b"canary", b"canary"), control(other, "canary", 1, "canary"), control(bundle, "u", 1))
    assert set(controls.of(0)) == {"u"}
    late = LateItems(bundle.items, RequestEmbedder(broken), bundle.version, at_once)
    vector = RequestEmbedder(bundle).item_vector(ItemUpsert(item_id="new", text="canary"))
    foreign = msgspec.structs.replace(vector, bundle="other", item_id="canary")
    apply(
        late, record(b"\xff", None), record(b"x", b"[]"), record(b"y", encode(foreign)), record(b"new", encode(vector))
    )
    assert bundle.items.rows(["new", "canary"])[0] >= 0
    assert bundle.items.rows(["canary"])[0] == -1
    assert len(caplog.records) == 4
    assert "canary" not in caplog.text


def test_records_that_another_version_wrote_are_passed_over(bundle: SmallBundle, controls: Controls) -> None:
    odd = msgspec.json.decode(control(bundle, "u", 2.0).value)
    odd["vector"] = "AQID"  # three bytes
    apply(controls, record(b"u", encode(odd)), record(b"u", None, (("ctrlrec.created-at", b"soon"),)))
    apply(controls, control(bundle, "u", 3.0))
    assert in_force(controls, "u") == "u@3.0"
    items = bundle.items
    late = LateItems(items, RequestEmbedder(bundle), bundle.version, at_once)
    made = RequestEmbedder(bundle).item_vector(ItemUpsert(item_id="new", text="a film"))
    short = msgspec.structs.replace(made, vector=made.vector[:DIMENSION])
    apply(late, record(b"new", encode(short)))
    assert items.rows(["new"]).tolist() == [-1]
    apply(late, record(b"new", encode(made)))
    assert items.rows(["new"]).tolist() != [-1]


def test_late_items_come_and_go(bundle: SmallBundle) -> None:
    late = LateItems(bundle.items, RequestEmbedder(bundle), bundle.version, at_once)
    vector = RequestEmbedder(bundle).item_vector(ItemUpsert(item_id="new", text="text"))
    apply(late, record(b"new", encode(vector)))
    assert len(bundle.items) == 51
    apply(late, record(b"new", None), record(b"i0", None), record(b"unheard of", None))
    assert len(bundle.items) == 49
