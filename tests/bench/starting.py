"""How soon a worker serves."""

import time
from collections.abc import Iterator
from statistics import median

import msgspec

from streams.settings import Settings
from streams.topics import ensure_topics
from tests.bench.brokers import broker
from tests.bench.contenders import Ours
from tests.bench.figures import Bench, Figure

REPEATS = 3


def figures(bench: Bench) -> Iterator[Figure]:
    """Seconds from a worker's start until it is ready: bundle loaded, partitions assigned, controls rebuilt."""
    seconds = []
    with broker(bench) as bootstrap:
        settings = Settings(kafka_bootstrap=bootstrap, bundle=bench.bundle.absolute(), monitoring_port=0)
        ensure_topics(settings)
        for number in range(REPEATS):
            settings = msgspec.structs.replace(settings, group=f"start-{number}")
            worker = Ours(settings, bench.folder / "worker.log", bench.cores)
            start = time.perf_counter()
            worker.start()
            try:
                worker.wait_ready()
                seconds.append(time.perf_counter() - start)
            finally:
                worker.stop()
    yield Figure("start", median(seconds), "s", least=min(seconds))
