"""Two workers beside one, and what a burst costs in memory."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from typing import NamedTuple

import msgspec
import psutil

from ranker.events import CandidateList
from streams.settings import Settings
from streams.supervise import WorkerProcess
from tests.bench.brokers import broker, prepared
from tests.bench.contenders import cpu_seconds
from tests.bench.cores import pinned
from tests.bench.figures import Bench, Bound, Figure
from tests.bench.load import TIMEOUT, Arrivals, publish_lists
from tests.bench.workload import candidate_lists, item_ids

ITEMS, LISTS, DISTINCT, REPEATS = 200, 60_000, 2_000, 2
"""More lists than one worker ranks in a second, by about ten times."""
MOST, LEFT = 0.9, 0.3
"""Shares of all lists: up to where rates count, and what must be left by then when all workers have begun."""
LOOK = 0.25
"""Seconds between two looks at how far the workers are."""


class Rates(NamedTuple):
    """Lists a second, of all workers together."""

    clock: float
    own: float
    """Of processor time of each worker's own: by the clock, where each has a core to itself and nothing else to wait for."""
    busy: float
    """Share of the time in which the first worker had its core: near 1, it waits for nothing else."""


def figures(bench: Bench) -> Iterator[Figure]:
    """Lists a second of two workers beside one's, and a worker's memory under a burst of ten times its capacity."""
    lists = list(candidate_lists(item_ids(bench.bundle), ITEMS, DISTINCT))
    with broker(bench) as bootstrap:
        # All lists lie at the broker before any worker starts, and nobody reads the rankings.
        settings = prepared(bench, bootstrap, "scale.", user_list_rate=0)
        publish_lists(settings, lists, LISTS)
        rates: dict[int, list[Rates]] = {1: [], 2: []}
        for turn in range(REPEATS):
            for workers, of in rates.items():
                group = msgspec.structs.replace(settings, group=f"scale-{workers}-{turn}")
                of.append(_rates(bench, group, workers))
        one, two = (Rates(*map(median, zip(*rates[workers], strict=True))) for workers in (1, 2))
        bound = (Bound("ratio", "at least", 1.7),)
        # Where the second worker shares its core with the broker, the clock tells of the broker, too.
        beside = f"one worker, broker beside the {'load' if bench.cores.enough else 'second worker'}"
        yield Figure(
            "scale.clock", two.clock, "lists/s", two.clock / one.clock, beside, bound if bench.cores.enough else ()
        )
        yield Figure("scale.processor", two.own, "lists/s", two.own / one.own, "one worker's, each on a core", bound)
        yield Figure("scale.busy", one.busy * 100, "% of a core")
        before, most = _burst(bench, prepared(bench, bootstrap, "burst.", user_list_rate=0), lists)
        bounds = (Bound("ratio", "at most", 1.5),)
        yield Figure("burst.memory", most / 1e6, "MB", most / before, "the idle worker's", bounds)


def _rates(bench: Bench, settings: Settings, workers: int) -> Rates:
    """Of so many workers, from when all of them have partitions until little is left."""
    cores = (bench.cores.work, bench.cores.second)[:workers]
    with ExitStack() as stack:
        running = [
            WorkerProcess(settings, bench.folder / f"scale{number}.log", wrap=pinned(core))
            for number, core in enumerate(cores)
        ]
        for worker in running:
            worker.start()
            stack.callback(worker.stop)
        for worker in running:
            worker.wait_ready()
        began, first = time.perf_counter(), [_ranked(worker) for worker in running]
        last = first
        while sum(ranked for ranked, _ in last) < MOST * LISTS:
            time.sleep(LOOK)
            last = [_ranked(worker) for worker in running]
            if time.perf_counter() > began + TIMEOUT:
                raise RuntimeError(f"{LISTS} lists were not ranked in {TIMEOUT:.0f} s")
        seconds = time.perf_counter() - began
    done = [(ranked - before, cpu - spent) for (before, spent), (ranked, cpu) in zip(first, last, strict=True)]
    total = sum(ranked for ranked, _ in done)
    if total < LEFT * LISTS or not all(ranked and cpu for ranked, cpu in done):
        raise RuntimeError(f"only {total:.0f} of {LISTS} lists were left when the last of {workers} workers had begun")
    return Rates(total / seconds, sum(ranked / cpu for ranked, cpu in done), done[0][1] / seconds)


def _ranked(worker: WorkerProcess) -> tuple[float, float]:
    """Lists that a worker has ranked, and its seconds of processor time."""
    return worker.metrics()['feedranker_rankings_total{outcome="controlled"}'], cpu_seconds(worker.process.pid)


def _burst(bench: Bench, settings: Settings, lists: list[CandidateList]) -> tuple[float, float]:
    """Bytes of memory of a worker that is ready and idle, and the most while it works off all lists, sent at once."""
    log = bench.folder / "burst.log"
    with (
        WorkerProcess(settings, log, wrap=bench.cores.wrap) as worker,
        Arrivals(settings.kafka_bootstrap, settings.topic("rankings"), settings.partitions) as reader,
    ):
        process = psutil.Process(worker.process.pid)
        before = most = float(process.memory_info().rss)
        publish_lists(settings, lists, LISTS)
        arrived = 0
        while arrived < LISTS:
            arrived += len(reader.wait(lambda: worker.process.poll() is None))
            most = max(most, float(process.memory_info().rss))
    return before, most
