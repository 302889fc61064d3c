"""Ranking, from bytes to bytes, in process."""

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from time import perf_counter

from ranker.errors import BadEvent
from ranker.rank import TOGETHER, Model, rank, rank_run
from ranker.run import Asked, Steering
from streams.wire import decode_candidates, encode
from tests.bench.cores import on_core
from tests.bench.figures import Bench, Bound, Figure
from tests.bench.timing import MICRO, by_turns, no_garbage_collection
from tests.bench.workload import encoded_lists, item_ids, large_catalogue, load_bundle, steerings

LISTS, REPEATS = 60, 20
RUNS = 8
LARGE = 50_000
BOUND_500 = Bound("value", "at most", 150)


def figures(bench: Bench) -> Iterator[Figure]:
    """One candidate list from its bytes to its ranking's bytes, on one core."""
    bundle = load_bundle(bench.bundle)
    model, steering, ids = bundle.model(0.5), steerings(bundle), item_ids(bench.bundle)
    large = model._replace(items=large_catalogue(LARGE, bundle.manifest.dimension))
    large_ids = [str(row) for row in range(LARGE)]
    with on_core(bench.cores.work):
        for size in (200, 500):
            bounds = (BOUND_500,) if size == 500 else ()
            yield from _rank(f"rank.{size}", model, steering, encoded_lists(ids, size, LISTS), bounds)
        yield _run(model, steering, encoded_lists(ids, 200, RUNS * TOGETHER))
        for size in (500, 5000):
            lists = encoded_lists(large_ids, size, LISTS)
            yield from _rank(f"rank.{size}-of-{LARGE // 1000}k", large, steering, lists)


def ranker(model: Model, steering: dict[str, Steering]) -> Callable[[bytes], bytes]:
    """Bytes to bytes, a list at a time."""

    def call(raw: bytes) -> bytes:
        candidates = decode_candidates(raw)
        return encode(rank(candidates, steering.get(candidates.user_id), model))

    return call


def run_ranker(model: Model, steering: dict[str, Steering]) -> Callable[[Sequence[bytes]], list[bytes]]:
    """Bytes to bytes, a run of lists at a time, as the worker and the replay do it."""

    def call(run: Sequence[bytes]) -> list[bytes]:
        lists = list(map(decode_candidates, run))
        answers = rank_run([Asked(each, steering.get(each.user_id)) for each in lists], model)
        if any(isinstance(answer, BadEvent) for answer in answers):
            raise RuntimeError("a list was refused")
        return list(map(encode, answers))

    return call


def _run(model: Model, steering: dict[str, Steering], lists: Sequence[bytes]) -> Figure:
    runs = [lists[first : first + TOGETHER] for first in range(0, len(lists), TOGETHER)]
    singly, together = ranker(model, steering), run_ranker(model, steering)
    if [answer for run in runs for answer in together(run)] != list(map(singly, lists)):
        raise RuntimeError("a run of lists was ranked otherwise than its lists")
    whole, alone = by_turns([together, lambda run: list(map(singly, run))], runs, REPEATS)
    to, each = "the same lists one by one", MICRO / TOGETHER
    return Figure(
        "rank.200.run", whole.median * each, "µs/list", whole.median / alone.median, to, (), whole.least * each
    )


def _rank(
    name: str, model: Model, steering: dict[str, Steering], lists: Sequence[bytes], bounds: tuple[Bound, ...] = ()
) -> Iterator[Figure]:
    answers = {}
    for raw in lists:
        candidates = decode_candidates(raw)
        answers[raw] = rank(candidates, steering[candidates.user_id], model)
        if answers[raw].adherence is None:
            raise RuntimeError(f"{name}: a list was ranked without its control")

    def bare(raw: bytes) -> bytes:
        decode_candidates(raw)
        return encode(answers[raw])

    whole, floor = by_turns([ranker(model, steering), bare], lists, REPEATS)
    to = "bare msgspec decode and encode"
    yield Figure(name, whole.median * MICRO, "µs", whole.median / floor.median, to, bounds, whole.least * MICRO)
    stages = _stages(model, steering, lists)
    total = sum(stages.values())
    for stage, seconds in stages.items():
        yield Figure(f"{name}.{stage}", seconds * MICRO, "µs", seconds / total, name)


def _stages(model: Model, steering: dict[str, Steering], lists: Sequence[bytes]) -> dict[str, float]:
    """Median seconds of each stage; what follows the fused order is counted as encoding."""
    seconds: dict[str, list[float]] = {}
    last = 0.0

    def lap(stage: str, _lists: int = 1) -> None:
        nonlocal last
        now = perf_counter()
        seconds.setdefault(stage, []).append(now - last)
        last = perf_counter()

    with no_garbage_collection():
        for _ in range(REPEATS):
            for raw in lists:
                last = perf_counter()
                candidates = decode_candidates(raw)
                lap("decode")
                encode(rank(candidates, steering[candidates.user_id], model, lap=lap))
                lap("encode")
    return {stage: median(spent) for stage, spent in seconds.items()}
