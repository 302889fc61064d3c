"""What a worker knows of the items that came after the bundle."""

import asyncio

from ranker.embed import RequestEmbedder
from ranker.events import ItemUpsert
from ranker.run import KEPT
from streams.lateitems import LateItems
from streams.wire import encode
from tests.smallbundle import SmallBundle
from tests.unit.clock import Clock
from tests.unit.records import apply, at_once, record


def test_that_an_item_was_deleted_is_forgotten(bundle: SmallBundle) -> None:
    clock = Clock(1e9)
    late = LateItems(bundle.items, RequestEmbedder(bundle), bundle.version, at_once, clock)
    vector = RequestEmbedder(bundle).item_vector(ItemUpsert(item_id="new", text="text"))
    new = record(b"new", encode(vector))
    apply(late, new, record(b"i0", None), record(b"new", None), record(b"gone", None), new)
    assert len(late) == 3
    other = SmallBundle(version="other")
    late.prepare(other.items, RequestEmbedder(other), other.version)
    clock.now += KEPT
    late.forget()
    assert len(late) == 1
    asyncio.run(late.catch_up())


def test_late_items_come_and_go(bundle: SmallBundle) -> None:
    late = LateItems(bundle.items, RequestEmbedder(bundle), bundle.version, at_once)
    vector = RequestEmbedder(bundle).item_vector(ItemUpsert(item_id="new", text="text"))
    apply(late, record(b"new", encode(vector)))
    assert len(bundle.items) == 51
    apply(late, record(b"new", None), record(b"i0", None), record(b"unheard of", None))
    assert len(bundle.items) == 49
