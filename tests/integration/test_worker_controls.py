"""The life of a control: set, replaced, withdrawn, expired, and kept whatever happens to the worker."""

import statistics
import time
from functools import partial
from typing import Any

import pytest
from kafka.partitioner import murmur2

from ranker.events import Ranking
from streams.wire import decode_control
from tests.live import ITEMS, Live, new_id, request


def follows(request_id: str | None, ranking: Ranking) -> bool:
    return ranking.request_id == request_id


def test_a_request_is_followed_within_a_second(live: Live) -> None:
    taken = []
    for text in ("more drama", "no horror please", "ghosts", "comedy from the 1990s", "war songs"):
        user = new_id()
        began = time.monotonic()
        request_id = live.publish("requests", request(user, text))
        ranking, _ = live.rank_until(partial(follows, request_id), user)
        taken.append(time.monotonic() - began)
        assert (ranking.degraded, ranking.weight, ranking.user_id) == (None, 0.5, user)
        assert ranking.item_ids != ITEMS
        assert ranking.adherence is not None
        assert ranking.adherence.fused > ranking.adherence.base
    print(f"request to first ranking that follows it: {', '.join(f'{seconds:.2f}' for seconds in taken)} s")
    assert statistics.median(taken) < 1


def test_replaced_then_withdrawn(live: Live) -> None:
    user = new_id()
    first = live.publish("requests", request(user, "more drama", weight=1.0))
    drama, _ = live.rank_until(partial(follows, first), user)
    second = live.publish("requests", request(user, "no horror please", weight=1.0))
    no_horror, _ = live.rank_until(partial(follows, second), user)
    assert no_horror.item_ids != drama.item_ids
    live.publish("requests", request(user, None))
    nothing, _ = live.rank_until(partial(follows, None), user)
    assert (nothing.degraded, nothing.weight, nothing.item_ids) == ("no_control", 0.0, ITEMS)


def test_expiry_is_by_the_lists_own_time(live: Live) -> None:
    user, expires_at = new_id(), time.time() - 3600
    request_id = live.publish(
        "requests", request(user, "more drama", expires_at=expires_at, created_at=expires_at - 1000)
    )
    live.rank_until(partial(follows, request_id), user, created_at=expires_at - 900)
    assert live.rank(user, created_at=expires_at - 0.1).request_id == request_id
    late = live.rank(user, created_at=expires_at)
    assert (late.request_id, late.degraded, late.item_ids) == (None, "control_expired", ITEMS)


def test_a_late_redelivery_undoes_nothing(live: Live) -> None:
    user, now = new_id(), time.time()
    old = request(user, "more drama", created_at=now - 20)
    new = request(user, "no horror please", created_at=now - 10)
    live.publish("requests", old)
    live.publish("requests", new)
    live.rank_until(partial(follows, new["event_id"]), user)
    for stale in (old, request(user, None, created_at=now - 15)):
        live.publish("requests", stale)
        _wait_until_through(live, user)
        assert live.rank(user).request_id == new["event_id"]
    live.publish("requests", request(user, None, created_at=now - 5))
    live.rank_until(partial(follows, None), user)
    live.publish("requests", new)
    _wait_until_through(live, user)
    assert live.rank(user).degraded == "no_control"


@pytest.mark.parametrize("last", ["no horror please", None])
def test_what_a_worker_writes_that_was_taken_for_dead_is_mended(live: Live, last: str | None) -> None:
    """Compaction would keep it: so the newest is written again, whether it is a control or that there is none."""
    user, now = new_id(), time.time()
    old, new = request(user, "more drama", created_at=now - 20), request(user, last, created_at=now - 10)
    for event in (old, new):
        live.publish("requests", event)
    assert live.outputs.until(lambda: len(_controls(live, user)) == 2)
    first, second = _controls(live, user)
    live.send("controls", first.value, first.key, headers=list(first.headers), partition=first.partition)
    assert live.outputs.until(lambda: len(_controls(live, user)) == 4)
    *_, late, again = _controls(live, user)
    assert (late.value, again.value, again.headers) == (first.value, second.value, second.headers)
    assert live.rank(user).request_id == (new["event_id"] if last else None)


def _controls(live: Live, user: str) -> list[Any]:
    return [record for record in live.outputs.controls if record.key == user.encode()]


def _wait_until_through(live: Live, user: str) -> None:
    """Wait until the worker has applied all that was published for `user`, as it has for a later user beside it."""
    other = next(name for name in iter(new_id, "") if _partition(live, name) == _partition(live, user))
    request_id = live.publish("requests", request(other, "ghosts"))
    live.rank_until(partial(follows, request_id), other)


def _partition(live: Live, key: str) -> int:
    return int((murmur2(key.encode()) & 0x7FFFFFFF) % live.settings.partitions)


def test_weights_and_one_shots(live: Live) -> None:
    user = new_id()
    standing = live.publish("requests", request(user, "more drama", weight=0.25))
    live.rank_until(partial(follows, standing), user)
    assert live.rank(user).weight == 0.25
    assert live.rank(user, weight=0.75).weight == 0.75
    base = live.rank(user, weight=0)
    assert (base.weight, base.item_ids, base.request_id) == (0.0, ITEMS, standing)
    for ranking in (live.rank(user, request="ghosts"), live.rank(user, request="ghosts", context="war songs")):
        assert (ranking.request_id, ranking.weight, ranking.degraded) == (ranking.event_id, 0.5, None)
    once = live.rank(user, request="ghosts", weight=1)
    assert once.weight == 1.0
    assert once.item_ids == live.rank(new_id(), request="ghosts", weight=1).item_ids
    after = live.rank(user)
    assert (after.request_id, after.weight) == (standing, 0.25)


def test_controls_outlive_workers(live: Live) -> None:
    """The last of them is only just written when the worker is killed."""
    users = [new_id() for _ in range(20)]
    ids = {user: live.publish("requests", request(user, "no horror please")) for user in users}
    withdrawn = users.pop()
    live.rank_until(partial(follows, ids[withdrawn]), withdrawn)
    live.publish("requests", request(withdrawn, None))
    live.rank_until(partial(follows, None), withdrawn)
    live.restart()
    assert {user: live.rank(user).request_id for user in users} == {user: ids[user] for user in users}
    assert live.rank(withdrawn).request_id is None

    last = request(new_id(), "comedy from the 1990s")
    live.publish("requests", last)
    assert live.outputs.until(
        lambda: any(r.value and decode_control(r.value).request_id == last["event_id"] for r in live.outputs.controls)
    )
    live.restart(kill=True)
    assert live.rank(last["user_id"]).request_id == last["event_id"]
    assert live.rank(users[0]).request_id == ids[users[0]]
