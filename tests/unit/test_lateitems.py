"""What a worker knows of the items that came after the bundle."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.embed import RequestEmbedder
from ranker.errors import BundleError
from ranker.events import ItemUpsert
from ranker.vectors import Quantized
from streams.lateitems import DELETED_FOR, SOURCE, TOWER_PAUSE, LateItems, Source
from streams.rewriting import AGAIN
from streams.views import REPAIR_AFTER
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
    clock.now += DELETED_FOR
    late.forget()
    assert len(late) == 1
    asyncio.run(late.catch_up())


def test_only_so_many_deletions_are_remembered(bundle: SmallBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.lateitems.DELETED", 3)
    clock = Clock(1e9)
    late = LateItems(bundle.items, RequestEmbedder(bundle), bundle.version, at_once, clock)
    for number in range(10):
        clock.now += 1
        apply(late, record(b"gone %d" % number, None, Source(0, number, 1000).headers()))
    assert (len(late), sorted(late._texts), sorted(late._sources)) == (3, *[[f"gone {n}" for n in (7, 8, 9)]] * 2)
    vector = RequestEmbedder(bundle).item_vector(ItemUpsert(item_id="gone 8", text="text"))
    apply(late, record(b"gone 8", encode(vector)), record(b"gone 10", None))
    assert sorted(late._texts) == ["gone 10", "gone 7", "gone 8", "gone 9"]


def test_late_items_come_and_go(bundle: SmallBundle) -> None:
    late = LateItems(bundle.items, RequestEmbedder(bundle), bundle.version, at_once)
    vector = RequestEmbedder(bundle).item_vector(ItemUpsert(item_id="new", text="text"))
    apply(late, record(b"new", encode(vector)))
    assert len(bundle.items) == 51
    apply(late, record(b"new", None), record(b"i0", None), record(b"unheard of", None))
    assert len(bundle.items) == 49


def made(bundle: SmallBundle, source: Source, text: str | None = None, item: str = "new") -> Any:
    """The vector that an item of `source` became."""
    vector = text and RequestEmbedder(bundle).item_vector(ItemUpsert(item_id=item, text=text))
    return record(item.encode(), encode(vector) if vector else None, source.headers(), source.partition)


class Timed:
    """Late items with a clock that stands still."""

    def __init__(self, bundle: SmallBundle) -> None:
        self.clock, self.bundle = Clock(1e9), bundle
        self.late = LateItems(bundle.items, RequestEmbedder(bundle), bundle.version, at_once, self.clock)

    def text(self, item: str = "new") -> str | None:
        return self.late._texts.get(item)

    def repairs(self, *kept: int) -> list[Any]:
        self.clock.now += REPAIR_AFTER
        return self.late.repairs("v", kept)


@pytest.fixture
def timed(bundle: SmallBundle) -> Timed:
    return Timed(bundle)


def test_what_was_made_of_an_older_record_changes_nothing(bundle: SmallBundle, timed: Timed) -> None:
    old, new, gone = Source(0, 4, 1000), Source(0, 7, 1000), Source(0, 9, 2000)
    apply(timed.late, made(bundle, new, "second"), made(bundle, old, "first"), made(bundle, old))
    assert (timed.text(), len(bundle.items)) == ("second", 51)
    apply(timed.late, made(bundle, gone), made(bundle, new, "second"))
    assert (timed.text(), len(bundle.items)) == (None, 50)


def test_other_partitions_and_topics_made_again_are_no_older(bundle: SmallBundle, timed: Timed) -> None:
    """Nor is what says nothing of itself, as records of former versions do not."""
    apply(timed.late, made(bundle, Source(0, 7, 1000), "a"))
    for source, text in ((Source(1, 2, 1000), "b"), (Source(1, 1, 1001), "c")):
        apply(timed.late, made(bundle, source, text))
        assert timed.text() == text
    apply(timed.late, record(b"new", None))
    assert timed.text() is None
    apply(timed.late, made(bundle, Source(1, 0, 1), "d"))
    assert (timed.text(), timed.repairs(0, 1)) == ("d", [])


def test_the_newest_is_written_again_by_whoever_keeps_the_partition(bundle: SmallBundle, timed: Timed) -> None:
    new, gone = made(bundle, Source(0, 7, 1000), "second"), made(bundle, Source(1, 8, 1000), item="i3")
    for source, item in ((Source(0, 4, 1000), "new"), (Source(1, 4, 1000), "i3")):
        apply(timed.late, new if item == "new" else gone, made(bundle, source, "first", item))
    assert timed.late.repairs("v", [0, 1]) == []
    assert [output.key for output in timed.repairs(0)] == [b"new"]
    again = {output.key: output for output in timed.repairs(0, 1)}
    assert (again[b"new"].partition, again[b"new"].value, again[b"new"].headers) == (0, new.value, new.headers)
    assert (again[b"i3"].partition, again[b"i3"].value, again[b"i3"].headers) == (1, None, gone.headers)
    apply(timed.late, new, gone)
    assert timed.repairs(0, 1) == []


def test_what_stands_in_another_bundles_vectors_is_written_again(
    bundle: SmallBundle, timed: Timed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the partitions that are kept here; and what is known is not embedded once more."""
    other, sources = SmallBundle(version="other", salt="other"), [Source(0, number, 1000) for number in range(3)]
    theirs, ours = (
        [made(each, source, "ghosts", f"new {source.offset}") for source in sources] for each in (other, bundle)
    )
    elsewhere, deleted = made(other, Source(1, 9, 1000), "ghosts", "far"), made(other, Source(0, 9, 1000), item="i3")
    unnamed = record(b"unnamed", theirs[0].value)  # of a former version, which did not say what it was made of
    apply(timed.late, *theirs, elsewhere, deleted, unnamed)
    assert "far" in bundle.items

    def check_written(wanted: list[Any]) -> None:
        timed.clock.now += AGAIN
        again = timed.late.rewritten("v", [0])
        assert {output.key: output.value for output in again} == {record.key: record.value for record in wanted}
        assert [output.headers for output in again] == [
            next(each.headers for each in wanted if each.key == output.key) for output in again
        ]
        apply(timed.late, *(record(output.key, output.value, output.headers) for output in again))
        timed.clock.now += AGAIN
        assert (timed.late.rewritten("v", [0]), timed.late.repairs("v", [0])) == ([], [])

    check_written(ours)
    monkeypatch.setattr(RequestEmbedder, "quantized_item", lambda *_: pytest.fail("it was embedded again"))
    apply(timed.late, theirs[1])
    check_written([ours[1]])
    monkeypatch.undo()
    timed.late.prepare(other.items, RequestEmbedder(other), other.version)
    asyncio.run(timed.late.catch_up())
    timed.late.exchange()
    check_written(theirs)


def test_of_another_bundles_vectors_only_the_last_is_made_again(
    bundle: SmallBundle, timed: Timed, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, read, embed = SmallBundle(version="other"), list[str](), RequestEmbedder.quantized_item
    timed.late.apply([made(other, Source(0, n, 1000), text) for n, text in ((1, "a"), (3, "b"), (2, "late"))])
    timed.late.apply([made(other, Source(0, 4, 1000), "c", "gone"), made(other, Source(0, 5, 1000), item="gone")])
    timed.late.apply([made(other, Source(0, 6, 1000), "d", "ours"), made(bundle, Source(0, 6, 1000), "d", "ours")])
    assert ("new" in bundle.items, "ours" in bundle.items) == (False, True)

    def noted(embedder: RequestEmbedder, text: str) -> Quantized:
        read.append(text)
        return embed(embedder, text)

    monkeypatch.setattr(RequestEmbedder, "quantized_item", noted)
    apply(timed.late)
    assert ("new" in bundle.items, "gone" in bundle.items, read) == (True, False, ["b"])


def test_what_waits_to_be_embedded_is_not_taken_for_known(bundle: SmallBundle, timed: Timed) -> None:
    """Though its text is, be it that it comes twice, or while it is with the tower."""
    other, source = SmallBundle(version="other"), Source(0, 2, 1000)
    looked: list[Any] = []

    async def looks_first(function: Callable[..., Any], *arguments: Any) -> Any:
        timed.clock.now += AGAIN
        looked.extend([*timed.late.rewritten("v", [0]), *timed.late.repairs("v", [0])])
        return function(*arguments)

    timed.late._run = looks_first
    timed.late.apply([made(bundle, Source(0, 1, 1000), "old"), *[made(other, source, "ghosts")] * 2])
    timed.late.apply([made(bundle, Source(0, 1, 1000), "old"), made(other, Source(0, 3, 1000), "x", "another")])
    apply(timed.late)
    assert [output.key for output in looked] in ([], [b"another"])
    assert bundle.items.vector("new") == RequestEmbedder(bundle).quantized_item("ghosts")


def test_whoever_gains_a_partition_looks_through_it(bundle: SmallBundle, timed: Timed) -> None:
    apply(timed.late, made(SmallBundle(version="other"), Source(1, 1, 1000), "ghosts"))
    for kept in ([], [0]):
        timed.clock.now += AGAIN
        assert timed.late.rewritten("v", kept) == []
    timed.late.rewritten("v", [0, 1])
    timed.clock.now += AGAIN
    assert [output.key for output in timed.late.rewritten("v", [0, 1])] == [b"new"]


def test_a_tower_that_cannot_be_read_holds_up_no_list(
    bundle: SmallBundle, timed: Timed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(_embedder: RequestEmbedder, _text: str) -> Any:
        raise BundleError("item_tower.onnx is not there")

    theirs = made(SmallBundle(version="other"), Source(0, 2, 1000), "ghosts")
    monkeypatch.setattr(RequestEmbedder, "quantized_item", away)
    apply(timed.late, theirs)
    assert [record.getMessage() for record in caplog.records] == [
        "no late item is read until this is mended: item_tower.onnx is not there"
    ]
    monkeypatch.undo()
    apply(timed.late)
    assert "new" not in bundle.items
    timed.clock.now += TOWER_PAUSE
    apply(timed.late)
    assert "new" in bundle.items


def test_a_deletion_that_is_forgotten_is_written_no_more(bundle: SmallBundle, timed: Timed) -> None:
    apply(timed.late, made(bundle, Source(0, 7, 1000)), made(bundle, Source(0, 4, 1000), "first"))
    timed.clock.now += DELETED_FOR
    timed.late.forget()
    assert timed.repairs(0) == []


@given(st.permutations(range(5)), st.lists(st.integers(0, 4), max_size=4), st.integers(0, 4))
def test_the_newest_is_the_last_in_the_end(order: list[int], stale: list[int], deletes: int) -> None:
    """Whatever is written late, also while it is mended."""
    bundle = SmallBundle()
    timed, read = Timed(bundle), 0
    each = [made(bundle, Source(0, n, 1000), None if n == deletes else f"text {n}") for n in range(5)]
    topic = [each[n] for n in order]
    for late in [*stale, None]:
        for _ in range(3):
            apply(timed.late, *topic[read:])
            read = len(topic)
            topic += [record(output.key, output.value, output.headers) for output in timed.repairs(0)]
        if late is not None:
            topic.append(each[late])
    assert (topic[-1].value, topic[-1].headers) == (each[4].value, each[4].headers)
    assert read == len(topic)


def test_a_source_that_is_no_place_is_passed_over(
    bundle: SmallBundle, timed: Timed, caplog: pytest.LogCaptureFixture
) -> None:
    apply(timed.late, record(b"new", None, ((SOURCE, b"first"),)), record(b"i3", None, ((SOURCE, b"\xff 1 2"),)))
    assert (len(timed.late), len(caplog.records)) == (0, 2)
