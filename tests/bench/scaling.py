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
"""Shares of all lists: up to where rates count, and how many must be left to be ranked when that begins."""
FAIR = 0.25
"""Of what is ranked, each worker's part at least."""
LOOK = 0.25
"""Seconds between two looks at how far the workers are."""


class Rates(NamedTuple):
    """Lists a second, of all workers together."""

    clock: float
    own: float
    """Of processor time of each worker's own: by the clock, where each has a core to itself and nothing else to wait for."""
    busy: float
    """Share of the time in which the first worker had its core: near 1, it waits for nothing else."""


class Memory(NamedTuple):
    """Bytes of one worker."""

    idle: float
    """While it is ready and has nothing to do."""
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
        memory = _burst(bench, prepared(bench, bootstrap, "burst.", user_list_rate=0), lists)
    one, two = (Rates(*map(median, zip(*rates[workers], strict=True))) for workers in (1, 2))
    bound = (Bound("ratio", "at least", 1.7),)
    # Where the second worker shares its core with the broker, the clock tells of the broker, too.
    beside = f"one worker, broker beside the {'load' if bench.cores.enough else 'second worker'}"
    clock = bound if bench.cores.enough else ()
    yield Figure("scale.clock", two.clock, "lists/s", two.clock / one.clock, beside, clock)
    yield Figure("scale.processor", two.own, "lists/s", two.own / one.own, "one worker's, each on a core", bound)
    yield Figure("scale.busy", one.busy * 100, "% of a core")
    bounds = (Bound("ratio", "at most", 1.5),)
    yield Figure("burst.memory", memory.most / 1e6, "MB", memory.most / memory.idle, "the idle worker's", bounds)


def _rates(bench: Bench, settings: Settings, lists: list[CandidateList], workers: int) -> Rates:
    """Of so many workers, from when all of them are ready until little is left; nobody reads the rankings.

    All lists lie at the broker before the first worker starts: one that kept up with their sending would have ranked its
    half by the time that all were sent, and two would be measured of whom one has nothing to do.
    """
    publish_lists(settings, lists, LISTS)
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
        last = list(_looks(running))[-1]
        seconds = time.perf_counter() - began
    done = [(ranked - before, cpu - spent) for (before, spent), (ranked, cpu) in zip(first, last, strict=True)]
    total = sum(ranked for ranked, _ in done)
    if total < LEFT * LISTS or not all(ranked > FAIR * total and cpu for ranked, cpu in done):
        raise RuntimeError(f"of {LISTS} lists, these were left for the workers when all were ready: {done}")
    own = sum(ranked / cpu for ranked, cpu in done)
    return Rates(total / seconds, own, done[0][1] / seconds)


def _burst(bench: Bench, settings: Settings, lists: list[CandidateList]) -> Memory:
    """Of one worker, to which all lists are sent while it is ready."""
    worker = WorkerProcess(settings, bench.folder / "burst.log", wrap=bench.cores.wrap)
    worker.start()
    try:
        worker.wait_ready()
        process = psutil.Process(worker.process.pid)
        memory = [process.memory_info().rss]
        publish_lists(settings, lists, LISTS)
        if (ranked := _ranked(worker)[0]) > (1 - LEFT) * LISTS:
            raise RuntimeError(
                f"{ranked:.0f} of {LISTS} lists were ranked by the time that all had been sent: no burst"
            )
        memory += [process.memory_info().rss for _ in _looks([worker])]
    finally:
        worker.stop()
    return Memory(memory[0], max(memory))


def _looks(running: list[WorkerProcess]) -> Iterator[list[tuple[float, float]]]:
    """`_ranked` of each, again and again until little is left. Raises RuntimeError if that takes too long."""
    deadline = time.perf_counter() + TIMEOUT
    while True:
        last = [_ranked(worker) for worker in running]
        yield last
        if sum(ranked for ranked, _ in last) >= MOST * LISTS:
            return
        if time.perf_counter() > deadline:
            raise RuntimeError(f"{LISTS} lists were not ranked in {TIMEOUT:.0f} s")
        time.sleep(LOOK)


def _ranked(worker: WorkerProcess) -> tuple[float, float]:
    """Lists that a worker has ranked, and its seconds of processor time."""
    return worker.metrics()['feedranker_rankings_total{outcome="controlled"}'], cpu_seconds(worker.process.pid)
