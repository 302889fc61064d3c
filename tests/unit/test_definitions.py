"""The definitions say of each metric what sets it; what is generated from them is in step."""

import math
import re
import sys
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from monitoring import catalogue
from monitoring.alerts.rules import Links
from monitoring.generate import FILES, ROOT
from monitoring.metrics import Metrics
from monitoring.quality import CANARIES, Quality
from monitoring.runs import STAGES, CandidateRun
from monitoring.server import add_process_metrics

AS = "`python -m monitoring.generate` writes it anew"


@pytest.mark.parametrize("name", FILES)
def test_generated_files_are_in_step(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == FILES[name](Links()), AS


def _run() -> CandidateRun:
    run = CandidateRun(10.0)
    run.start()
    for stage in STAGES:
        run.lap(stage)
    run.ranked([9.0, 11.0], [5, 5], 2, ["controlled", "controlled"])
    return run


CALLS: dict[str, Callable[[Metrics], None]] = {
    "ranked": lambda metrics: metrics.ranked(_run()),
    "emitted": lambda metrics: metrics.emitted(_run(), 12.0, 0.1),
    "consumed": lambda metrics: metrics.consumed("items", [1.0, 3.0], 2.0),
    "stage": lambda metrics: metrics.stage("embed", 0.1),
    "dead_letter": lambda metrics: metrics.dead_letter("schema"),
    "control_request": lambda metrics: metrics.quality.control_request("set"),
    "cache_requests": lambda metrics: metrics.cache_requests(1, 1, 1),
    "adherence": lambda metrics: metrics.quality.adherence(base=0.1, fused=0.2, gain=0.5, overlap=0.5),
    "order_correlation": lambda metrics: metrics.quality.order_correlation(
        fused_base=0.1, fused_request=0.1, base_request=0.1, overlap=0.1
    ),
    "rebalanced": lambda metrics: metrics.rebalanced(1.0),
    "consumer_lag": lambda metrics: metrics.consumer_lag({("t", 0): 1}, 5.0),
    "holds": lambda metrics: metrics.holds(controls=1, items=1, partitions=1),
    "bundle_swap": lambda metrics: metrics.bundle_swap("taken"),
    "beat": lambda metrics: metrics.beat(1.0, 0.1),
    "familiarity": lambda metrics: metrics.quality.familiarity(0.5, [0.1, 0.5, 0.9], ood=False),
    "item_place": lambda metrics: metrics.quality.item_place([0.1, 0.5, 0.9]),
    "canaries": lambda metrics: metrics.quality.canaries(
        5.0, dict.fromkeys(CANARIES, 0.5), dict.fromkeys(CANARIES, 0.6)
    ),
    "build": lambda metrics: metrics.build("1", "3"),
    "bundle": lambda metrics: metrics.bundle("a", "1", 5.0),
}
"""Each method of Metrics and Quality, called so that it sets all that it can."""


@pytest.mark.parametrize("method", CALLS)
def test_set_by(method: str) -> None:
    metrics = Metrics(registry := CollectorRegistry())
    before = _samples(registry)
    CALLS[method](metrics)
    changed = {name for (name, _), _ in _samples(registry).items() - before.items()}
    said = {definition.name for definition in metrics.definitions if method in definition.set_by}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in changed} == said


def _samples(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    return {
        (sample.name, str(sample.labels)): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_the_calls_are_all_methods() -> None:
    assert CALLS.keys() == {name for name in (*vars(Metrics), *vars(Quality)) if not name.startswith("_")}


def test_every_method_is_called_by_the_worker() -> None:
    sources = "".join(path.read_text() for part in ("streams", "monitoring") for path in (ROOT / part).glob("*.py"))
    assert [method for method in CALLS if not re.search(rf"metrics\.(quality\.)?{method}\(", sources)] == []


def test_definitions_are_what_is_exported() -> None:
    metrics = Metrics(registry := CollectorRegistry())
    CALLS["consumer_lag"](metrics)
    CALLS["build"](metrics)
    CALLS["bundle"](metrics)
    exported = {sample.name: set(sample.labels) - {"le"} for family in registry.collect() for sample in family.samples}
    exported = {name: labels for name, labels in exported.items() if not name.endswith("_created")}
    assert exported == {name: set(d.labels) for d in metrics.definitions for name in d.series}
    assert all(definition.meaning for definition in metrics.definitions)


@pytest.mark.skipif(sys.platform != "linux", reason="prometheus_client knows of processes on Linux alone")
def test_process_metrics() -> None:
    add_process_metrics(registry := CollectorRegistry())
    names = {sample.name for family in registry.collect() for sample in family.samples}
    assert {name for name in names if not name.endswith("_created")} == catalogue.PROCESS.keys()


def test_units() -> None:
    assert catalogue.unit("feedranker_end_to_end_duration_seconds") == "seconds"
    assert catalogue.unit("feedranker_heartbeat_timestamp_seconds") == "seconds since 1970"
    assert catalogue.unit("process_cpu_seconds_total") == "seconds"
    assert catalogue.unit("feedranker_rankings_total") == "count"


def test_what_is_refused_is_counted_by_every_histogram() -> None:
    metrics = Metrics(registry := CollectorRegistry())
    metrics.stage("embed", math.nan)
    assert registry.get_sample_value("feedranker_observations_refused_total") == 1


def test_the_exposition_follows_the_conventions() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    assert all(name.startswith("feedranker_") for name in names)
    assert all(family.documentation for family in families)
    assert sum(len(family.samples) for family in families) < 2000
    assert not [name for name in names if name.endswith(("_milliseconds", "_ms", "_percent"))]
