"""Bundles are exchanged under a working worker: A, B, a damaged C, back to A, and a kill on the way."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ranker.bundle import Bundle
from ranker.embed import RequestEmbedder
from ranker.events import CandidateList, ControlRequest, Ranking
from ranker.rank import rank
from ranker.run import Steering
from ranker.store import Store
from streams.wire import decode_ranking, encode
from tests.live import ITEMS, SCORES, Live, candidates, live_settings, new_id, request
from tests.oracle import Account
from tests.unit.tiny_towers import bundle_folder, damaged, other_bundle_folder, reseal

pytestmark = pytest.mark.faults

TEXTS = ("more drama", "no horror please", "ghosts", "comedy from the 1990s", "war songs")
LATE, LATE_TEXT = "late", "river ghosts 9"
EXTRA: dict[str, Any] = {"item_ids": [*ITEMS, LATE], "base_scores": [*SCORES, -1.0]}
PAUSE = 0.01
"""Seconds between two lists."""


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

    def __init__(self, folder: Path, asked: dict[str, ControlRequest]) -> None:
        bundle = Bundle.load(folder)
        embedder = RequestEmbedder(bundle)
        self._model = bundle.model(0.5)
        self._model.items.put(LATE, embedder.quantized_item(LATE_TEXT))
        self._steering = {user: Steering.of(embedder.control(each)) for user, each in asked.items()}
        self.version = bundle.version

    def answer(self, event: CandidateList) -> bytes:
        return encode(rank(event, self._steering[event.user_id], self._model))


class Swapping:
    """A worker that serves a store, and users who asked for something."""

    def __init__(self, live: Live) -> None:
        self.live, self.store = live, Store(live.settings.bundle)
        self.users = [new_id() for _ in range(20)]
        events = [request(user, TEXTS[number % 5]) for number, user in enumerate(self.users)]
        self.asked = {event["user_id"]: ControlRequest(**event) for event in events}
        live.publish("items", {"item_id": LATE, "text": LATE_TEXT})
        for event in events:
            live.publish("requests", event)
        for user in self.users:
            live.rank_until(lambda ranking: ranking.degraded is None, user, **EXTRA)

    def serves(self, version: str) -> None:
        """Wait until a ranking is made with this bundle."""
        self.live.rank_until(lambda ranking: ranking.bundle == version, self.users[0], **EXTRA)

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
    a, b = (Oracle(folder, swapping.asked) for folder in (bundle_folder(), other_bundle_folder()))
    copy = Path(shutil.copytree(bundle_folder(), tmp_path / "copy"))
    c = reseal(copy, name="third")
    unchecked = Store(store.folder)
    unchecked.check = lambda version: None  # type: ignore[method-assign]
    with Stream(live, swapping.users) as stream:
        time.sleep(0.5)
        store.activate(store.add(other_bundle_folder()))
        swapping.serves(b.version)
        damaged(store.folder_of(store.add(copy)), "item_vectors.npy")
        unchecked.activate(c)  # as if it were damaged on this worker's disk alone
        assert live.outputs.until(lambda: f"bundle {c} is refused" in swapping.log())
        time.sleep(1.5)
        assert store.rollback().active == b.version
        assert store.rollback().active == a.version
        swapping.serves(a.version)
        time.sleep(0.5)
    assert live.outputs.until(lambda: stream.lists.keys() <= live.outputs.rankings.keys())
    live.outputs.until(lambda: False, 1)  # for repeats

    made = {event_id: live.outputs.rankings[event_id] for event_id in stream.lists}
    inputs: dict[tuple[str, int, int], str | None] = {("lists", 0, n): event_id for n, event_id in enumerate(made)}
    assert Account.of(inputs, made, {}).check("bundles swapped, one of them corrupt") == 0
    assert live.outputs.dead == {}
    oracles = {a.version: a, b.version: b}
    bundles = [_exact(oracles, stream.lists[event_id], answers[0]) for event_id, answers in made.items()]
    print({version: bundles.count(version) for version in oracles}, "of", len(made), "lists")
    assert set(bundles) >= {a.version, b.version}
    metrics = live.worker.metrics()
    assert metrics['feedranker_bundle_swaps_total{result="refused"}'] == swapping.log().count(" is refused, and ") == 1
    assert f"bundle {c} is refused, and {b.version} keeps serving" in swapping.log()
    assert "item_vectors.npy is damaged" in swapping.log()
    assert metrics[f'feedranker_bundle_info{{name="tiny",version="{a.version}"}}'] == 1


def _exact(oracles: dict[str, Oracle], event: CandidateList, answer: bytes) -> str:
    """The list's bundle, to whose answer it must be equal: vectors of two bundles would give another order."""
    ranking: Ranking = decode_ranking(answer)
    assert ranking.degraded is None
    assert answer == oracles[ranking.bundle].answer(event)
    return ranking.bundle


def test_controls_outlive_a_kill_after_the_swap(swapping: Swapping) -> None:
    live, store = swapping.live, swapping.store
    b = Oracle(other_bundle_folder(), swapping.asked)
    store.activate(store.add(other_bundle_folder()))
    swapping.serves(b.version)
    live.restart(kill=True)
    after = [candidates(user, **EXTRA) for user in swapping.users]
    ids = [live.publish("candidates", event) for event in after]
    assert [live.ranking(event_id).bundle for event_id in ids] == [b.version] * len(ids)
    assert [live.outputs.rankings[event_id][0] for event_id in ids] == [b.answer(CandidateList(**e)) for e in after]

    # The active one is damaged by now: what was served before keeps serving over another restart.
    damaged(store.folder_of(b.version), "tokenizer.json")
    live.restart(kill=True)
    ranking = live.rank(swapping.users[3], **EXTRA)
    assert (ranking.bundle, ranking.degraded) == (Bundle.load(bundle_folder()).version, None)
    assert f"bundle {b.version} is refused" in swapping.log()
