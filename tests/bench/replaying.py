"""Replaying a log."""

import resource
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shutil import rmtree
from time import perf_counter

import pyarrow as pa
import pyarrow.parquet as pq

from ranker.events import ControlRequest, Ranking
from ranker.rank import rank
from ranker.run import Asked, Steering
from streams.replay.archive import SCHEMA, name_of
from streams.replay.job import replay
from streams.replay.plan import Job
from streams.replay.sources import Log
from streams.replay.totals import read_totals
from streams.settings import Settings
from streams.wire import decode_candidates, encode
from tests.bench.cores import on_core
from tests.bench.figures import Bench, Bound, Figure
from tests.bench.timing import no_garbage_collection
from tests.bench.workload import MADE_AT, REQUESTS, USERS, encoded_lists, item_ids, load_bundle, steerings, user

ITEMS, LISTS, REPEATS = 100, 32_768, 2
WEIGHTS = (0.5, 0.2, 0.8)


def figures(bench: Bench) -> Iterator[Figure]:
    """Candidate lists of 100 items a second of `ctrlrec replay`, from an archive to Parquet, on one core.

    Beside decoding the same lists and encoding their rankings with msgspec; and what a further weight costs.
    """
    lists = encoded_lists(item_ids(bench.bundle), ITEMS, LISTS)
    write_archive(bench.folder / "archive", lists)
    encoded = _rankings(bench.bundle, lists[:USERS])
    bare, one, three = [], [], []
    with on_core(bench.cores.work), no_garbage_collection():
        for _ in range(REPEATS):
            bare.append(_seconds(lambda: _bare(lists, encoded)))
            one.append(_seconds(lambda: _replay(bench, WEIGHTS[:1])))
            three.append(_seconds(lambda: _replay(bench, WEIGHTS)))
    to, first = "bare msgspec decode and encode", min(one)
    yield Figure("replay", LISTS / first, "lists/s", first / min(bare), to)
    further = (min(three) - first) / (len(WEIGHTS) - 1)
    bound = Bound("ratio", "at most", 0.25)
    yield Figure("replay.further-weight", further / LISTS * 1e6, "µs/list", further / first, "the first", (bound,))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield Figure("replay.memory", peak, "MiB", bounds=(Bound("value", "at most", 1536),))


def write_archive(archive: Path, lists: Sequence[bytes]) -> None:
    """The requests of all users, and then the lists."""
    requests = []
    for number in range(USERS):
        text = REQUESTS[number % len(REQUESTS)]
        event = ControlRequest(event_id=f"r{number}", user_id=user(number), op="set", created_at=MADE_AT - 1, text=text)
        requests.append(encode(event))
    for kind, values, began in (("requests", requests, MADE_AT - 1), ("candidates", lists, MADE_AT)):
        folder = archive / f"topic={kind}" / "hour=2025-06-15T15"
        folder.mkdir(parents=True, exist_ok=True)
        size = len(values)
        table = pa.table(
            {
                "topic": [f"feed.{kind}"] * size,
                "partition": [0] * size,
                "offset": range(size),
                "timestamp": [int(began * 1000) + number for number in range(size)],
                "key": [user(number).encode() for number in range(size)],
                "value": list(values),
                "headers": [[]] * size,
            },
            schema=SCHEMA,
        )
        pq.write_table(table, folder / name_of(0, 0, size - 1), compression="zstd", row_group_size=4096)


def _replay(bench: Bench, weights: Sequence[float]) -> None:
    out = bench.folder / "out"
    rmtree(out, ignore_errors=True)
    outcome = replay(Job(Log(str(bench.folder / "archive")), out, Settings(), [bench.bundle], weights))
    if (ranked := read_totals(outcome.layout, outcome.segments, outcome.plan.variants).ranked) != LISTS:
        raise RuntimeError(f"the replay answered {ranked} of {LISTS} lists")


def _rankings(bundle: Path, lists: Sequence[bytes]) -> list[Ranking]:
    steering: dict[str, Steering] = steerings(load_bundle(bundle))
    asked = [Asked(each, steering[each.user_id]) for each in map(decode_candidates, lists)]
    model = load_bundle(bundle).model(0.5)
    return [rank(each.candidates, each.steering, model) for each in asked]


def _bare(lists: Sequence[bytes], rankings: Sequence[Ranking]) -> None:
    for number, raw in enumerate(lists):
        decode_candidates(raw)
        encode(rankings[number % len(rankings)])


def _seconds(call: Callable[[], None]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start
