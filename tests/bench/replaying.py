"""Replaying a log."""

from collections.abc import Iterator
from time import perf_counter

import msgspec

from ranker.events import ControlRequest
from ranker.rank import TOGETHER

from streams.wire import encode
from tests.bench.cores import on_core
from tests.bench.figures import Bench, Figure
from tests.bench.ranking import run_ranker
from tests.bench.timing import no_garbage_collection
from tests.bench.workload import MADE_AT, REQUESTS, USERS, encoded_lists, item_ids, load_bundle, steerings, user

ITEMS, LISTS, REPEATS = 200, 8_000, 3


def figures(bench: Bench) -> Iterator[Figure]:
    """Candidate lists a second of `ctrlrec replay`, on one core."""
    bundle = load_bundle(bench.bundle)
    lists, steering = encoded_lists(item_ids(bench.bundle), ITEMS, LISTS), steerings(bundle)
    log, out = bench.folder / "log.jsonl", bench.folder / "rankings.jsonl"
    with log.open("wb") as file:
        for topic, values in (("requests", _requests()), ("candidates", lists)):
            for value in values:
                file.write(msgspec.json.encode({"topic": topic, "value": msgspec.Raw(value)}) + b"\n")
    model = bundle.model(0.5)
    call, seconds = run_ranker(model, steering), []
    with on_core(bench.cores.work), no_garbage_collection():
        for _ in range(REPEATS):
            start = perf_counter()
            for first in range(0, LISTS, TOGETHER):
                call(lists[first : first + TOGETHER])
            between = perf_counter()
            summary = replay_file(Replay(bundle, model), log, out)
            seconds.append((perf_counter() - between, between - start))
            if summary.events["candidates"] != LISTS:
                raise RuntimeError(f"the replay answered {summary.events['candidates']} of {LISTS} lists")
    whole, bare = map(min, zip(*seconds, strict=True))
    yield Figure("replay", LISTS / whole, "lists/s", bare / whole, "ranking from bytes to bytes alone")


def _requests() -> Iterator[bytes]:
    for number in range(USERS):
        text = REQUESTS[number % len(REQUESTS)]
        event = ControlRequest(event_id=f"r{number}", user_id=user(number), op="set", created_at=MADE_AT - 1, text=text)
        yield encode(event)
