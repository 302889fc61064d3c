"""Two workers beside one, and what a burst costs in memory."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from typing import NamedTuple

import psutil

from ranker.events import CandidateList
from streams.settings import Settings
from streams.supervise import WorkerProcess
from tests.bench.brokers import broker, prepared
from tests.bench.contenders import cpu_seconds
from tests.bench.cores import pinned
from tests.bench.figures import Bench, Bound, Figure
from tests.bench.load import TIMEOUT, publish_lists
from tests.bench.workload import candidate_lists, item_ids

ITEMS, LISTS, DISTINCT, REPEATS = 200, 60_000, 2_000, 2
"""More lists than one worker ranks in a second, by about ten times."""
MOST, LEFT = 0.95, 0.15
"""Shares of all lists: up to where rates count, and how many must be ranked from when all were sent up to there."""
LOOK = 0.25
"""Seconds between two looks at how far the workers are."""


class Rates(NamedTuple):
    """Lists a second, of all workers together; and of the first worker alone what follows."""

    clock: float
    own: float
    """Of processor time of each worker's own: by the clock, where each has a core to itself and nothing else to wait for."""
    busy: float
    """Share of the time in which it had its core: near 1, it waits for nothing else."""
    idle: float
    """Bytes of memory while it is ready and has nothing to do."""
    most: float
    """While all lists, sent at once, were worked off."""


def figures(bench: Bench) -> Iterator[Figure]:
    """Lists a second of two workers beside one's, and a worker's memory under a burst of ten times its capacity."""
    lists = list(candidate_lists(item_ids(bench.bundle), ITEMS, DISTINCT))
    rates: dict[int, list[Rates]] = {1: [], 2: []}
    with broker(bench) as bootstrap:
        for turn in range(REPEATS):
            for workers, of in rates.items():
                settings = prepared(bench, bootstrap, f"scale-{workers}-{turn}.", user_list_rate=0)
                of.append(_rates(bench, settings, lists, workers))
    one, two = (Rates(*map(median, zip(*rates[workers], strict=True))) for workers in (1, 2))
    bound = (Bound("ratio", "at least", 1.7),)
    # Where the second worker shares its core with the broker, the clock tells of the broker, too.
    beside = f"one worker, broker beside the {'load' if bench.cores.enough else 'second worker'}"
    clock = bound if bench.cores.enough else ()
    yield Figure("scale.clock", two.clock, "lists/s", two.clock / one.clock, beside, clock)
    yield Figure("scale.processor", two.own, "lists/s", two.own / one.own, "one worker's, each on a core", bound)
    yield Figure("scale.busy", one.busy * 100, "% of a core")
    bounds = (Bound("ratio", "at most", 1.5),)
    yield Figure("burst.memory", one.most / 1e6, "MB", one.most / one.idle, "the idle worker's", bounds)


def _rates(bench: Bench, settings: Settings, lists: list[CandidateList], workers: int) -> Rates:
    """Of so many workers, from when all lists lie at the broker until little is left; nobody reads the rankings."""
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
        memory = [float(psutil.Process(running[0].process.pid).memory_info().rss)]
        publish_lists(settings, lists, LISTS)
        began, first = time.perf_counter(), [_ranked(worker) for worker in running]
        last = first
        while sum(ranked for ranked, _ in last) < MOST * LISTS:
            time.sleep(LOOK)
            last = [_ranked(worker) for worker in running]
            memory.append(float(psutil.Process(running[0].process.pid).memory_info().rss))
            if time.perf_counter() > began + TIMEOUT:
                raise RuntimeError(f"{LISTS} lists were not ranked in {TIMEOUT:.0f} s")
        seconds = time.perf_counter() - began
    done = [(ranked - before, cpu - spent) for (before, spent), (ranked, cpu) in zip(first, last, strict=True)]
    total = sum(ranked for ranked, _ in done)
    if total < LEFT * LISTS or not all(ranked and cpu for ranked, cpu in done):
        raise RuntimeError(f"only {total:.0f} of {LISTS} lists were left when all had been sent")
    own = sum(ranked / cpu for ranked, cpu in done)
    return Rates(total / seconds, own, done[0][1] / seconds, memory[0], max(memory))


def _ranked(worker: WorkerProcess) -> tuple[float, float]:
    """Lists that a worker has ranked, and its seconds of processor time."""
    return worker.metrics()['feedranker_rankings_total{outcome="controlled"}'], cpu_seconds(worker.process.pid)
