"""What a worker knows of the controls of its users, and which records no view can use."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.embed import RequestEmbedder
from ranker.events import ItemUpsert
from ranker.familiarity import Familiarity
from ranker.run import KEPT
from streams.controlrecords import withdrawal, withdrawn_at
from streams.lateitems import LateItems
from streams.rewriting import AFTER, AGAIN
from streams.views import FORGET_AT_ONCE, REPAIR_AFTER, Controls
from streams.wire import encode
from tests.smallbundle import DIMENSION, SmallBundle
from tests.unit.clock import Clock
from tests.unit.records import NoVector, apply, at_once, control, record, withdrawn


@pytest.fixture
def controls(bundle: SmallBundle) -> Controls:
    return Controls(RequestEmbedder(bundle), bundle.version, at_once)


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


@pytest.fixture
def clock() -> Clock:
    return Clock(1e9)


@pytest.fixture
def timed(bundle: SmallBundle, clock: Clock) -> Controls:
    return Controls(RequestEmbedder(bundle), bundle.version, at_once, clock)


def known(controls: Controls) -> set[str]:
    """Of whom anything at all is kept."""
    partition = controls._partitions[0]
    kept = (partition.users, partition.asked, partition.since, partition.overwritten, partition.forget._times)
    return {user for each in kept for user in each}


def test_what_expired_or_was_withdrawn_is_forgotten(bundle: SmallBundle, timed: Controls, clock: Clock) -> None:
    now = clock.now
    apply(timed, control(bundle, "soon", now, expires_at=now + 100), control(bundle, "never", now))
    apply(timed, control(bundle, "extended", now, expires_at=now + 100), control(bundle, "gone", now))
    apply(timed, withdrawn("gone", now + 1), control(bundle, "extended", now + 1, expires_at=now + 1000))
    apply(timed, control(bundle, "unlimited", now, expires_at=now + 100), control(bundle, "unlimited", now + 1))
    clock.now = now + KEPT - 1
    timed.forget()
    assert known(timed) == {"soon", "never", "extended", "gone", "unlimited"}
    clock.now = now + 100 + KEPT  # until then, for lists that come late
    assert in_force(timed, "soon") is not None
    timed.forget()
    assert known(timed) == {"never", "extended", "unlimited"}
    clock.now = now + 10 * KEPT
    timed.forget()
    assert known(timed) == set(timed.of(0)) == {"never", "unlimited"}


def test_what_expired_long_ago_takes_no_room_and_is_not_followed_by_what_is_older(
    bundle: SmallBundle, timed: Controls, clock: Clock
) -> None:
    old = clock.now - 3 * KEPT
    apply(timed, control(bundle, "u", old, expires_at=old + KEPT))
    assert (len(timed), known(timed)) == (0, {"u"})
    timed.forget()
    apply(timed, control(bundle, "u", old - 1))
    assert len(timed) == 0


def test_many_are_forgotten_some_at_a_time(bundle: SmallBundle, timed: Controls, clock: Clock) -> None:
    apply(timed, *(withdrawn(f"u{number}", 1.0) for number in range(FORGET_AT_ONCE + 5)))
    clock.now += KEPT
    timed.forget()
    assert len(known(timed)) == 5
    timed.forget()
    assert known(timed) == set()


def test_what_is_forgotten_is_not_in_the_next_bundles_vectors(
    bundle: SmallBundle, timed: Controls, clock: Clock
) -> None:
    apply(timed, control(bundle, "u", clock.now, expires_at=clock.now), control(bundle, "v", clock.now))
    other = SmallBundle(version="other")
    timed.prepare(RequestEmbedder(other), other.version)
    asyncio.run(timed.catch_up())
    clock.now += KEPT
    timed.forget()
    assert timed.behind
    asyncio.run(timed.catch_up())
    timed.exchange()
    assert set(timed.of(0)) == {"v"}


def test_the_newest_is_written_again_when_an_older_one_follows_it(
    bundle: SmallBundle, timed: Controls, clock: Clock
) -> None:
    whole = {"context": "likes ghosts", "weight": 0.25, "expires_at": clock.now + 9}
    old, new = control(bundle, "u", 1.0), control(bundle, "u", 3.0, "ghosts", **whole)
    apply(
        timed, control(bundle, "v", 1), withdrawn("v", 2.0), new, old, control(bundle, "v", 1), control(bundle, "w", 1)
    )
    assert timed.repairs("c") == []
    clock.now += REPAIR_AFTER
    again = {output.key: output for output in timed.repairs("c")}
    assert set(again) == {b"u", b"v"}
    assert (again[b"u"].topic, again[b"u"].partition, again[b"u"].value) == ("c", 0, new.value)
    assert (again[b"v"].value, again[b"v"].headers) == (None, withdrawal(2.0))
    assert timed.repairs("c") == []  # it waits until they are read
    clock.now += REPAIR_AFTER
    assert len(timed.repairs("c")) == 2
    apply(timed, record(b"u", again[b"u"].value), record(b"v", None, again[b"v"].headers))
    clock.now += REPAIR_AFTER
    assert timed.repairs("c") == []
    assert (in_force(timed, "u"), in_force(timed, "v")) == ("u@3.0", None)


def test_what_stands_in_another_bundles_vectors_is_written_again(
    bundle: SmallBundle, timed: Controls, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever keeps the partition next need not embed it, be it that it was read so or that another bundle was taken."""
    monkeypatch.setattr("streams.rewriting.AT_ONCE", 2)
    other = SmallBundle(version="other", salt="other")
    users = [f"u{number}" for number in range(5)]
    theirs = [control(other, user, 1.0, "ghosts", context="likes ghosts", weight=0.25) for user in users]
    ours = [control(bundle, user, 1.0, "ghosts", context="likes ghosts", weight=0.25) for user in users]
    apply(timed, *theirs, withdrawn("gone", 1.0))
    assert timed.rewritten("c") == []  # it may be on its way

    def check_written(wanted: list[Any]) -> None:
        clock.now += AFTER
        batches = [timed.rewritten("c") for _ in range(4)]
        assert sum(map(len, batches)) == len(wanted)
        assert max(map(len, batches)) <= 2  # some at a time
        again = [output for batch in batches for output in batch]
        assert {output.key: output.value for output in again} == {record.key: record.value for record in wanted}
        apply(timed, *(record(output.key, output.value, output.headers) for output in again[1:]))
        clock.now += AGAIN
        assert [output.key for output in timed.rewritten("c")] == [again[0].key]  # which was not read
        apply(timed, record(again[0].key, again[0].value))
        clock.now += AGAIN
        assert (timed.rewritten("c"), timed.repairs("c")) == ([], [])
        clock.now += AGAIN

    check_written(ours)
    monkeypatch.setattr(RequestEmbedder, "quantized", lambda *_: pytest.fail("it was embedded again"))
    apply(timed, theirs[1])  # by who still serves the other bundle
    check_written([ours[1]])
    monkeypatch.undo()
    monkeypatch.setattr("streams.rewriting.AT_ONCE", 2)
    timed.prepare(RequestEmbedder(other), other.version)
    asyncio.run(timed.catch_up())
    timed.exchange()
    check_written(theirs)


def test_of_another_bundles_controls_only_the_last_is_embedded(bundle: SmallBundle, timed: Controls) -> None:
    other, embedder = SmallBundle(version="other"), timed._embedder
    timed.apply([control(other, "u", 1.0, "first"), control(other, "u", 2.0, "second"), control(other, "v", 1.0, "x")])
    timed.apply([control(other, "u", 1.5, "late"), control(bundle, "v", 1.0, "x"), control(other, "w", 1.0, "y")])
    timed.apply([withdrawn("w", 2.0)])
    assert (in_force(timed, "u"), in_force(timed, "v")) == (None, "v@1.0")
    apply(timed)
    assert (in_force(timed, "u"), in_force(timed, "w"), embedder.misses, timed.embedded_again) == ("u@2.0", None, 1, 1)


def test_what_waits_to_be_embedded_is_not_written_again(bundle: SmallBundle, timed: Controls, clock: Clock) -> None:
    """Until then what is in force, or that nothing is, is older than what would be written."""
    other, written = SmallBundle(version="other"), list[tuple[bytes | None, bytes | None]]()

    async def looks_first(function: Callable[..., Any], *arguments: Any) -> Any:
        clock.now += AFTER + REPAIR_AFTER
        written.extend((output.key, output.value) for output in [*timed.rewritten("c"), *timed.repairs("c")])
        return function(*arguments)

    old = control(bundle, "u", 1.0, "first"), control(bundle, "w", 1.0, "first")
    timed.apply([old[0], control(other, "u", 2.0, "second"), control(other, "w", 2.0, "second"), *old])
    timed.apply([control(bundle, "v", 1.0), control(other, "v", 1.0)])  # which begins a look
    timed._run = looks_first
    apply(timed)
    asyncio.run(looks_first(list))
    asyncio.run(looks_first(list))
    last = [control(bundle, "u", 2.0, "second"), control(bundle, "w", 2.0, "second"), control(bundle, "v", 1.0)]
    assert set(written) == {(record.key, record.value) for record in last}
    assert (in_force(timed, "u"), in_force(timed, "w")) == ("u@2.0", "w@2.0")


def test_what_is_over_in_another_bundles_vectors_is_not_embedded(timed: Controls, clock: Clock) -> None:
    other = SmallBundle(version="other")
    apply(timed, control(other, "u", 1.0, expires_at=clock.now - KEPT), control(other, "v", 1.0, expires_at=clock.now))
    assert (set(timed.of(0)), timed.embedded_again) == ({"v"}, 1)


def test_a_redelivery_of_both_needs_no_repair(bundle: SmallBundle, timed: Controls, clock: Clock) -> None:
    old, new = control(bundle, "u", 1), control(bundle, "u", 3)
    apply(timed, old, new, old)
    clock.now += REPAIR_AFTER / 2
    apply(timed, new)
    clock.now += REPAIR_AFTER
    assert timed.repairs("c") == []


@given(st.permutations(range(5)), st.lists(st.integers(0, 4), max_size=4), st.integers(0, 4))
def test_the_newest_is_the_last_in_the_end(order: list[int], stale: list[int], withdraws: int) -> None:
    """Whatever is written late, also while it is mended."""
    bundle, clock = SmallBundle(), Clock(1e9)
    view = Controls(RequestEmbedder(bundle), bundle.version, at_once, clock)
    made = [withdrawn("u", float(n)) if n == withdraws else control(bundle, "u", float(n)) for n in range(5)]
    topic = [made[n] for n in order]
    read = 0
    for late in [*stale, None]:
        for _ in range(3):
            apply(view, *topic[read:])
            read = len(topic)
            clock.now += REPAIR_AFTER
            topic += [record(output.key, output.value, output.headers) for output in view.repairs("c")]
        if late is not None:
            topic.append(made[late])
    assert (topic[-1].value, topic[-1].headers) == (made[4].value, made[4].headers)
    assert read == len(topic)


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
    assert controls.embedded_again == 1
    assert second.values.tobytes() == first.values.tobytes()


def test_what_is_embedded_again_is_as_unusual_as_the_new_bundle_finds_it(
    bundle: SmallBundle, controls: Controls
) -> None:
    other = SmallBundle(version="other", salt="other")
    other.familiarity = lambda _text, _vector: Familiarity(0.01, ())
    bundle.familiarity = lambda _text, _vector: Familiarity(0.5, ())
    apply(controls, control(other, "u", 1), control(bundle, "v", 1))
    assert not controls.of(0)["u"].ood
    controls.prepare(RequestEmbedder(other), other.version)
    asyncio.run(controls.catch_up())
    controls.exchange()
    assert controls.of(0)["v"].ood


def test_what_cannot_be_used_is_passed_over(bundle: SmallBundle, caplog: pytest.LogCaptureFixture) -> None:
    broken = SmallBundle()
    broken.request_tower = broken.item_tower = NoVector()
    controls = Controls(RequestEmbedder(broken), bundle.version, at_once)
    other = SmallBundle(version="other")
    apply(controls, record(b"canary", b"canary"), control(other, "canary", 1, "canary"), control(bundle, "u", 1))
    assert {user: steering.bundle for user, steering in controls.of(0).items()} == {
        "canary": "other",  # `other_bundle`, if it is used
        "u": bundle.version,
    }
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
