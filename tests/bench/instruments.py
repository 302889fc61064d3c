"""What the worker's metrics cost."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import time
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from faust.types import TP
from prometheus_client import CollectorRegistry

from monitoring.metrics import Metrics
from ranker.embed import RequestEmbedder
from streams.agents import Agents
from streams.sampling import Sampler
from streams.settings import Settings
from streams.transport import Part, Run
from streams.views import Controls
from streams.wire import encode
from tests.bench.cores import on_core
from tests.bench.figures import Bench, Bound, Figure
from tests.bench.timing import MICRO, by_turns
from tests.bench.workload import controls, encoded_lists, item_ids, load_bundle

ITEMS, RUNS, REPEATS = 200, 8, 20


class Silent:
    """Stands in for notes, metrics and sampler, and does nothing."""

    def __init__(self, *_: object) -> None: ...

    def nothing(self, *_: object, **__: object) -> None: ...

    start = lap = ranked = failed = emitted = look = dead_letter = nothing


def figures(bench: Bench) -> Iterator[Figure]:
    """What notes, metrics and sampling add to the handling of a candidate list, on one core."""
    bundle, settings = load_bundle(bench.bundle), Settings(user_list_rate=0.0)  # all lists are of one user
    model, length = bundle.model(settings.weight), settings.run_length
    embedder = RequestEmbedder(bundle)
    held = Controls(embedder, model.bundle, cast(Any, None))
    lists = encoded_lists(item_ids(bench.bundle), ITEMS, RUNS * length)
    runs = [_run(lists[first : first + length]) for first in range(0, len(lists), length)]

    with ThreadPoolExecutor(1) as towers, asyncio.Runner() as loop, on_core(bench.cores.work):
        held.apply([_record(encode(control), control.user_id.encode()) for control in controls(bundle)])
        metrics = Metrics(CollectorRegistry())
        measured = Agents(settings, model, embedder, held, towers, metrics)
        silent = Agents(settings, model, embedder, held, towers, cast(Metrics, Silent()))
        silent.serving = silent.serving._replace(sampler=cast(Sampler, Silent()))

        def with_metrics(run: Run) -> None:
            loop.run(measured.rank_feed(run)).confirmed(0.001)

        def without(run: Run) -> None:
            with patch("streams.agents.CandidateRun", Silent):
                loop.run(silent.rank_feed(run)).confirmed(0.001)

        whole, bare = by_turns([with_metrics, without], runs, REPEATS)
    cost = whole.median - bare.median
    bounds = (Bound("ratio", "at most", 0.05),)
    yield Figure("metrics.handle", bare.median / length * MICRO, "µs/list")
    to = "handling a list of 200 without"
    yield Figure("metrics.cost", cost / length * MICRO, "µs/list", cost / bare.median, to, bounds)


def _record(value: bytes, key: bytes) -> Any:
    return SimpleNamespace(
        topic="feed.candidates",
        partition=0,
        offset=0,
        timestamp_type=0,
        timestamp=round(time() * 1000),
        key=key,
        value=value,
        headers=(),
    )


def _run(values: list[bytes]) -> Run:
    return Run([Part(TP("feed.candidates", 0), [_record(value, b"u") for value in values], 0)], 0)
