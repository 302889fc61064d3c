"""Items that come after the bundle, and go."""

import statistics
import time
from functools import partial
from typing import Any

import msgspec
import pytest

from ranker.events import Ranking
from streams.wire import decode_item_vector, encode
from tests.live import ITEMS, SCORES, Live, candidates, new_id

NOVEL_SCORES = [*SCORES, -1.0]


def knows(item: str, wanted: bool, ranking: Ranking) -> bool:
    return (ranking.unknown_items == 0) == wanted


def known(live: Live, item: str, wanted: bool) -> Ranking:
    """Wait until the worker knows the item, or no longer does."""
    fields = {"item_ids": [*ITEMS, item], "base_scores": NOVEL_SCORES, "request": "ghosts", "weight": 1}
    ranking, _ = live.rank_until(partial(knows, item, wanted), new_id(), **fields)
    assert ranking.degraded == (None if wanted else "unknown_items")
    return ranking


def test_novel_items_are_rankable_within_two_seconds(live: Live) -> None:
    taken = []
    for number in range(5):
        item = new_id()
        began = time.monotonic()
        live.publish("items", {"item_id": item, "text": f"river ghosts {number}"})
        known(live, item, True)
        taken.append(time.monotonic() - began)
    print(f"item to first ranking that knows it: {', '.join(f'{seconds:.2f}' for seconds in taken)} s")
    assert statistics.median(taken) < 2


def test_an_items_text_decides_and_can_change(live: Live) -> None:
    item = new_id()
    live.publish("items", {"item_id": item, "text": "river secrets (1960). Drama", "year": 1960})
    before = known(live, item, True).item_ids.index(item)
    live.publish("items", {"item_id": item, "text": "ghosts"})
    fields = {"item_ids": [*ITEMS, item], "base_scores": NOVEL_SCORES, "request": "ghosts", "weight": 1}
    live.rank_until(lambda ranking: ranking.item_ids.index(item) != before, new_id(), **fields)


def test_items_outlive_workers_and_deletions_do_too(live: Live) -> None:
    kept, deleted = new_id(), new_id()
    for item in (kept, deleted):
        live.publish("items", {"item_id": item, "text": "harbour letters"})
        known(live, item, True)
    live.send("items", None, deleted.encode()).get(timeout=30)
    known(live, deleted, False)
    live.restart()
    known(live, kept, True)
    known(live, deleted, False)


def test_lists_after_a_start_know_the_items_though_another_bundle_read_them(live: Live) -> None:
    """They wait until all are read, and embedded again; which is written, so that the next start need not wait."""
    seen = new_id()
    live.publish("items", {"item_id": seen, "text": "harbour letters"})
    known(live, seen, True)
    (made,) = _vectors(live, seen)
    theirs = msgspec.structs.replace(decode_item_vector(made.value), bundle="another")
    items = [f"{seen} {number}" for number in range(1200)]
    for item in items:
        vector = encode(msgspec.structs.replace(theirs, item_id=item, text=f"{theirs.text} {item}"))
        sent = live.send("vectors", vector, item.encode(), headers=list(made.headers), partition=made.partition)
    sent.get(timeout=30)
    live.worker.kill()
    fields = {"item_ids": [*ITEMS[:20], items[-1]], "base_scores": SCORES[:21], "request": "ghosts"}
    waiting = [live.publish("candidates", candidates(new_id(), **fields)) for _ in range(20)]
    live.restart(kill=True)
    assert {live.ranking(event_id).unknown_items for event_id in waiting} == {0}
    served = decode_item_vector(made.value).bundle

    def of_ours() -> set[bytes]:
        vectors = [decode_item_vector(each.value) for each in live.outputs.vectors if each.value is not None]
        return {each.item_id.encode() for each in vectors if each.bundle == served}

    assert live.outputs.until(lambda: {item.encode() for item in items} <= of_ours())


@pytest.mark.parametrize("last", ["ghosts", None])
def test_what_a_worker_writes_that_was_taken_for_dead_is_mended(live: Live, last: str | None) -> None:
    """The old vector serves no list, and the newest, or that there is none, is the last in the topic in the end."""
    item = new_id()
    live.publish("items", {"item_id": item, "text": "river secrets"})
    assert live.outputs.until(lambda: len(_vectors(live, item)) == 1)
    if last:
        live.publish("items", {"item_id": item, "text": last})
    else:
        live.send("items", None, item.encode()).get(timeout=30)
    assert live.outputs.until(lambda: len(_vectors(live, item)) == 2)
    first, second = _vectors(live, item)
    live.send("vectors", first.value, first.key, headers=list(first.headers), partition=first.partition)
    assert live.outputs.until(lambda: len(_vectors(live, item)) == 4)
    *_, late, again = _vectors(live, item)
    assert (late.value, again.value, again.headers) == (first.value, second.value, second.headers)
    known(live, item, last is not None)


def _vectors(live: Live, item: str) -> list[Any]:
    return [record for record in live.outputs.vectors if record.key == item.encode()]
