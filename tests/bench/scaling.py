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
from streams.topics import ensure_topics
from streams.wire import encode
from tests.bench.brokers import broker
from tests.bench.figures import Bench, Bound, Figure
from tests.bench.load import Arrivals, Publisher, publish_singly
from tests.bench.workload import candidate_lists, controls, item_ids, load_bundle

ITEMS, LISTS, DISTINCT, REPEATS = 200, 50_000, 2_000, 3
"""More lists than one worker ranks in a second, by about ten times."""
ENOUGH = 4
"""Cores: two for the workers, one each for the broker and the load."""


class Burst(NamedTuple):
    rate: float
    """Lists a second, from the first one sent to the last ranking to arrive."""
    before: float
    """Bytes of memory of the first worker, ready and idle."""
    most: float
    """While the burst was worked off."""


def figures(bench: Bench) -> Iterator[Figure]:
    """Lists a second of two workers beside one's, and a worker's memory under a burst of ten times its capacity."""
    lists = list(candidate_lists(item_ids(bench.bundle), ITEMS, DISTINCT))
    with broker(bench) as bootstrap:
        settings = Settings(
            kafka_bootstrap=bootstrap, topic_prefix="scale.", group="scale", bundle=bench.bundle.absolute(),
            monitoring_port=0, user_list_rate=0,
        )  # fmt: skip
        ensure_topics(settings)
        events = ((control.user_id, encode(control)) for control in controls(load_bundle(bench.bundle)))
        publish_singly(bootstrap, settings.topic("controls"), settings.partitions, events)
        with Arrivals(bootstrap, settings.topic("rankings"), settings.partitions) as reader:
            bursts: dict[int, list[Burst]] = {1: [], 2: []}
            for _ in range(REPEATS):
                for workers, of in bursts.items():
                    of.append(_burst(bench, settings, reader, lists, workers))
    one, two = (median(burst.rate for burst in bursts[workers]) for workers in (1, 2))
    # On fewer cores the second worker takes its time from the broker and the load, and the ratio tells of them.
    cores = psutil.cpu_count() or 1
    bounds = (Bound("ratio", "at least", 1.7),) if cores >= ENOUGH else ()
    yield Figure("scale.two_workers", two, "lists/s", two / one, f"one worker, on {cores} cores", bounds)
    worst = max((burst for of in bursts.values() for burst in of), key=lambda burst: burst.most / burst.before)
    bound = Bound("ratio", "at most", 1.5)
    yield Figure("burst.memory", worst.most / 1e6, "MB", worst.most / worst.before, "the idle worker's", (bound,))


def _burst(bench: Bench, settings: Settings, reader: Arrivals, lists: list[CandidateList], workers: int) -> Burst:
    """All lists at once, to workers that are ready and have nothing to do."""
    publisher = Publisher(settings.kafka_bootstrap, settings.topic("candidates"), settings.partitions)
    with ExitStack() as stack:
        running = [WorkerProcess(settings, bench.folder / f"scale{number}.log") for number in range(workers)]
        for worker in running:
            worker.start()
            stack.callback(worker.stop)
        for worker in running:
            worker.wait_ready()
        process = psutil.Process(running[0].process.pid)
        before = most = float(process.memory_info().rss)
        arrived, began = 0, time.perf_counter()
        for number in range(LISTS):
            event = msgspec.structs.replace(lists[number % DISTINCT], event_id=f"e{number}")
            publisher.send(number, event.user_id, encode(event))
        publisher.flush()
        while arrived < LISTS:
            arrived += len(reader.wait(lambda: all(worker.process.poll() is None for worker in running)))
            most = max(most, float(process.memory_info().rss))
        seconds = time.perf_counter() - began
    return Burst(LISTS / seconds, before, most)
