"""Bundles are exchanged under a working worker: A, B, a damaged C, back to A, and a kill on the way."""

import json
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ranker.bundle import Bundle
from ranker.embed import RequestEmbedder
from ranker.events import CandidateList, ControlRequest, Ranking
from ranker.rank import rank
from ranker.run import Steering
from ranker.store import Store
from streams.wire import decode_control, decode_ranking, encode
from tests.live import ITEMS, SCORES, Live, candidates, live_settings, new_id, request
from tests.oracle import Account
from tests.unit.tiny_towers import bundle_folder, damaged, other_bundle_folder, reseal

pytestmark = pytest.mark.faults

TEXTS = ("more drama", "no horror please", "ghosts", "comedy from the 1990s", "war songs")
LATE, LATE_TEXT = "late", "river ghosts 9"
EXTRA: dict[str, Any] = {"item_ids": [*ITEMS, LATE], "base_scores": [*SCORES, -1.0]}
PAUSE = 0.01
"""Seconds between two lists, or two requests."""
CROWD = 1_000
"""Users who have asked for something else each, and who have no lists."""
GAP = 1.0
"""Seconds without a ranking of some partition, at most, whatever becomes of the bundle."""


class Stream:
    """Lists of users with controls, one after the other, without a pause for whatever happens meanwhile."""

    def __init__(self, live: Live, users: list[str]) -> None:
        self._live, self._users = live, users
        self.lists: dict[str, CandidateList] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        turn = 0
        while not self._stop.wait(PAUSE):
            event = candidates(self._users[turn % len(self._users)], **EXTRA)
            self.lists[event["event_id"]] = CandidateList(**event)
            self._live.send("candidates", json.dumps(event).encode(), event["user_id"].encode())
            turn += 1

    def __enter__(self) -> "Stream":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._live.producer.flush()


class Oracle:
    """What a worker that never served another bundle answers."""

    def __init__(self, folder: Path) -> None:
        bundle = Bundle.load(folder)
        self._embedder, self._model = RequestEmbedder(bundle), bundle.model(0.5)
        self._model.items.put(LATE, self._embedder.quantized_item(LATE_TEXT))
        self.version = bundle.version

    def answer(self, event: CandidateList, asked: ControlRequest) -> bytes:
        assert asked.user_id == event.user_id
        return encode(rank(event, Steering.of(self._embedder.control(asked)), self._model))


class Swapping:
    """A worker that serves a store, and users who asked for something."""

    def __init__(self, live: Live) -> None:
        self.live, self.store = live, Store(live.settings.bundle)
        self.users = [new_id() for _ in range(20)]
        self.asked: dict[str, ControlRequest] = {}
        """By their ids, in the order in which they were published."""
        live.publish("items", {"item_id": LATE, "text": LATE_TEXT})
        for number in range(len(self.users)):
            self.ask(number)
        self.follows()

    def ask(self, number: int) -> str:
        """Send the request `number`, and do not wait: the users take turns, and no user's is like the one before."""
        user, turn = self.users[number % len(self.users)], number // len(self.users)
        event = request(user, TEXTS[(number + turn) % len(TEXTS)])
        self.asked[event["event_id"]] = ControlRequest(**event)
        self.live.send("requests", json.dumps(event).encode(), user.encode())
        return str(event["event_id"])

    @property
    def last(self) -> dict[str, ControlRequest]:
        """By user."""
        return {each.user_id: each for each in self.asked.values()}

    def follows(self) -> None:
        """Wait until every user's last request is followed, and the late item known."""
        for user, asked in self.last.items():
            self.live.rank_until(partial(_follows, asked), user, **EXTRA)

    def serves(self, version: str) -> None:
        """Wait until a ranking is made with this bundle."""
        self.live.rank_until(lambda ranking: ranking.bundle == version, self.users[0], **EXTRA)

    def asks_until_it_serves(self, version: str) -> None:
        """As `serves`, while users ask anew from before it is read until after it is taken."""
        anew = set[str]()
        for number in count(len(self.asked)):
            anew.add(self.ask(number))
            if self.live.rank(self.users[0], **EXTRA).bundle == version:
                break
        self.follows()
        controls = [decode_control(record.value) for record in self.live.outputs.controls]
        before = {each.request_id for each in controls if each.request_id in anew and each.bundle != version}
        print(f"{len(anew)} requests until {version} served, {len(before)} of them became controls before")
        assert before

    def log(self) -> str:
        return self.live.worker.log.read_text()


@pytest.fixture
def swapping(bootstrap: str, tmp_path: Path) -> Iterator[Swapping]:
    store = Store(tmp_path / "store")
    store.activate(store.add(bundle_folder()))
    with Live(live_settings(bootstrap, store.folder), tmp_path) as live:
        yield Swapping(live)


def test_lists_flow_while_bundles_come_and_go(swapping: Swapping, tmp_path: Path) -> None:
    live, store = swapping.live, swapping.store
    a, b = (Oracle(folder) for folder in (bundle_folder(), other_bundle_folder()))
    copy = Path(shutil.copytree(bundle_folder(), tmp_path / "copy"))
    c = reseal(copy, name="third")
    unchecked = Store(store.folder)
    unchecked.check = lambda version: None  # type: ignore[method-assign]
    live.outputs.settle()
    live.outputs.times.clear()
    with Stream(live, swapping.users) as stream:
        time.sleep(0.5)
        store.activate(store.add(other_bundle_folder()))
        swapping.asks_until_it_serves(b.version)
        damaged(store.folder_of(store.add(copy)), "item_vectors.npy")
        unchecked.activate(c)  # as if it were damaged on this worker's disk alone
        assert live.outputs.until(lambda: f"bundle {c} is refused" in swapping.log())
        time.sleep(1.5)
        assert store.rollback().active == b.version
        assert store.rollback().active == a.version
        swapping.asks_until_it_serves(a.version)
        time.sleep(0.5)
    assert live.outputs.until(lambda: stream.lists.keys() <= live.outputs.rankings.keys())
    live.outputs.until(lambda: False, 1)  # for repeats

    made = {event_id: live.outputs.rankings[event_id] for event_id in stream.lists}
    inputs: dict[tuple[str, int, int], str | None] = {("lists", 0, n): event_id for n, event_id in enumerate(made)}
    assert Account.of(inputs, made, {}).check("bundles swapped, one of them corrupt") == 0
    assert live.outputs.dead == {}
    _judge(swapping, stream, a, b)
    print(f"longest pause of a partition: {live.outputs.longest_pause():.2f} s")
    assert live.outputs.longest_pause() < GAP
    metrics = live.worker.metrics()
    assert metrics['feedranker_bundle_swaps_total{result="refused"}'] == swapping.log().count(" is refused, and ") == 1
    assert f"bundle {c} is refused, and {b.version} keeps serving" in swapping.log()
    assert "item_vectors.npy is damaged" in swapping.log()
    assert metrics[f'feedranker_bundle_info{{name="tiny",version="{a.version}"}}'] == 1


def test_a_worker_dies_in_the_middle_of_a_swap(swapping: Swapping) -> None:
    """What it had in hand is ranked again: maybe by the other bundle, maybe by what was asked meanwhile."""
    live, store = swapping.live, swapping.store
    a, b = (Oracle(folder) for folder in (bundle_folder(), other_bundle_folder()))
    store.add(other_bundle_folder())
    for number in range(CROWD):  # so that the swap takes a while
        crowd = request(f"crowd {number}", f"{TEXTS[number % len(TEXTS)]} {number}")
        live.send("requests", json.dumps(crowd).encode(), crowd["user_id"].encode())
    assert live.outputs.until(lambda: len(live.outputs.controls) >= CROWD + len(swapping.users))
    with live.another() as second, Stream(live, swapping.users) as stream:
        swapping.follows()
        store.activate(b.version)
        while f"bundle {b.version} is read" not in second.log.read_text():
            swapping.ask(len(swapping.asked))
            time.sleep(PAUSE)
        second.kill()
        assert f"bundle {b.version} serves" not in second.log.read_text()
        with live.another():
            swapping.follows()
            swapping.serves(b.version)
            time.sleep(0.5)
    assert live.outputs.until(lambda: stream.lists.keys() <= live.outputs.rankings.keys())
    live.outputs.until(lambda: False, 1)  # for repeats
    assert live.outputs.dead == {}
    _judge(swapping, stream, a, b)


def _judge(swapping: Swapping, stream: Stream, *oracles: Oracle) -> None:
    """Assert that all answers, repeats too, are exact, those by one bundle and request thus equal; that all bundles served;
    and that lists follow requests in the order in which these were published, the last lists the last ones."""
    by_version, answers = {oracle.version: oracle for oracle in oracles}, swapping.live.outputs.rankings
    rankings = [
        [_exact(by_version, swapping, event, answer) for answer in answers[event_id]]
        for event_id, event in stream.lists.items()
    ]
    first = [each[0] for each in rankings]
    bundles = [ranking.bundle for ranking in first]
    print({version: bundles.count(version) for version in by_version}, "of", len(first), "lists")
    print(sum(map(len, rankings)) - len(first), "repeats")
    assert set(bundles) == by_version.keys()
    order: list[str | None] = [*swapping.asked]
    followed: dict[str, list[int]] = defaultdict(list)
    for ranking in first:  # in the order of their lists
        followed[ranking.user_id].append(order.index(ranking.request_id))
    assert [numbers for numbers in followed.values() if numbers != sorted(numbers)] == []
    assert [user for user, asked in swapping.last.items() if order[followed[user][-1]] != asked.event_id] == []


def _follows(asked: ControlRequest, ranking: Ranking) -> bool:
    return (ranking.request_id, ranking.degraded) == (asked.event_id, None)


def _exact(oracles: dict[str, Oracle], swapping: Swapping, event: CandidateList, answer: bytes) -> Ranking:
    """The list's ranking, which must be equal to what its bundle answers: vectors of two would give another order."""
    ranking: Ranking = decode_ranking(answer)
    assert ranking.degraded is None
    assert ranking.request_id is not None
    assert answer == oracles[ranking.bundle].answer(event, swapping.asked[ranking.request_id])
    return ranking


def test_controls_outlive_a_kill_after_the_swap(swapping: Swapping) -> None:
    live, store = swapping.live, swapping.store
    b = Oracle(other_bundle_folder())
    store.activate(store.add(other_bundle_folder()))
    swapping.serves(b.version)
    live.restart(kill=True)
    after = [candidates(user, **EXTRA) for user in swapping.users]
    ids = [live.publish("candidates", event) for event in after]
    assert [live.ranking(event_id).bundle for event_id in ids] == [b.version] * len(ids)
    expected = [b.answer(CandidateList(**event), swapping.last[event["user_id"]]) for event in after]
    assert [live.outputs.rankings[event_id][0] for event_id in ids] == expected

    # The active one is damaged by now: what was served before keeps serving over another restart.
    damaged(store.folder_of(b.version), "tokenizer.json")
    live.restart(kill=True)
    ranking = live.rank(swapping.users[3], **EXTRA)
    assert (ranking.bundle, ranking.degraded) == (Bundle.load(bundle_folder()).version, None)
    assert f"bundle {b.version} is refused" in swapping.log()
