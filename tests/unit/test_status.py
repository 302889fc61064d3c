import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from monitoring.alerts.objectives import OBJECTIVES
from monitoring.health import Health
from monitoring.metrics import Metrics
from monitoring.quality import CANARIES
from monitoring.runs import CandidateRun
from monitoring.server import MonitoringServer
from ranker.errors import ConfigError
from streams.commands import app
from streams.status import Figure, Reading, figures, read_workers
from streams.statusrecorded import _QUERIES


class Worker:
    """The metrics of a worker, served as a worker does."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.metrics = Metrics(registry)
        self.metrics.bundle("a", "abc123", 5.0)
        self.metrics.beat(time.time() + 60, 0.0)
        self.server = MonitoringServer(registry, Health())

    def rank(self, lists: int, *, took: float = 0.1, failed: int = 0) -> None:
        run = CandidateRun(100.0)
        run.ranked([100.0 - took] * lists, [50] * lists, 0, ["controlled"] * lists)
        for _ in range(failed):
            run.failed("bug")
        self.metrics.ranked(run)
        self.metrics.emitted(run, 100.0, 0.01)


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    with made.server:
        yield made


def look(worker: Worker, change: Any = lambda: None) -> dict[str, Figure]:
    before = read_workers([worker.server.url])
    change()
    now = read_workers([worker.server.url])
    return {figure.name: figure for figure in figures(before, Reading(before.at + 2.0, now.workers))}


def test_all_is_well(worker: Worker) -> None:
    worker.rank(1000, took=2.0)  # long ago
    worker.metrics.quality.canaries(time.time(), dict.fromkeys(CANARIES, 0.8), dict.fromkeys(CANARIES, 0.8))
    seen = look(worker, lambda: worker.rank(50))
    assert seen["workers"].value == "1 of 1 answer"
    assert seen["rankings"].value == "25.0/s"
    assert seen["within 250 ms"].value == "100 % of 50"
    assert seen["bundle"].value == "abc123"
    assert seen["golden requests"].value.startswith("100% of what was promised")
    assert seen["lists by outcome"].value == "controlled 100.0%"
    assert {figure.verdict for figure in seen.values()} <= {"well", "unknown"}


def test_it_says_whether_every_objective_is_kept(worker: Worker) -> None:
    """What the overview's row of promises says."""

    def change() -> None:
        worker.rank(50)
        worker.metrics.consumed("requests", [100.0 - 6] * 2 + [99.0] * 98, 100.0)
        for number in range(300):
            worker.metrics.quality.adherence(base=0.4, fused=0.6, gain=0.5 if number % 10 else 0.0, overlap=0.5)

    seen = look(worker, change)
    assert seen["requests within 5 s"] == Figure("requests within 5 s", "98 % of 100", "at least 99.5 %", "wrong")
    assert seen["candidates within 5 s"].verdict == "well"
    assert seen["requests followed"] == Figure("requests followed", "90 % of 300", "at least 95 %", "wrong")
    recorded = " ".join(query for _, query, *_ in _QUERIES)
    assert [o.name for o in OBJECTIVES if o.errors(o.pairs[0].long) not in recorded] == []


@pytest.mark.parametrize(("ago", "verdict"), [(5.0, "well"), (40.0, "wrong")])
def test_a_broker_that_does_not_answer_is_named(worker: Worker, ago: float, verdict: str) -> None:
    worker.metrics.consumer_lag({("feed.candidates", 0): 0}, time.time() - ago)
    worker.metrics.consumer_lag(None, time.time())
    assert look(worker)["Kafka silent for"].verdict == verdict


def test_nothing_counted_is_not_called_well(worker: Worker) -> None:
    seen = look(worker)
    names = [name for name, figure in seen.items() if figure.verdict == "unknown"]
    assert names[:6] == ["rankings", "lists by outcome", "within 250 ms", "lists ranked", "requests within 5 s",
                         "candidates within 5 s"]  # fmt: skip
    assert {"dead letters", "golden requests"} <= set(names)


def test_what_is_wrong_is_named(worker: Worker) -> None:
    def change() -> None:
        worker.rank(90, took=0.1, failed=10)
        worker.rank(10, took=0.4)
        for _ in range(10):
            worker.metrics.dead_letter("schema")
        for number in range(100):
            worker.metrics.quality.control_request("set", ood=number < 40)
        worker.metrics.consumer_lag({("feed.candidates", 0): 100_000}, time.time())
        for _ in range(300):
            worker.metrics.quality.order_correlation(fused_base=1.0, fused_request=0.0, base_request=0.0, overlap=1.0)
        for _ in range(600):
            worker.metrics.quality.adherence(base=0.4, fused=0.4, gain=0.0, overlap=1.0)
        worker.metrics.beat(time.time() - 60, 0.0)
        worker.metrics.quality.canaries(time.time(), dict.fromkeys(CANARIES, 0.4), dict.fromkeys(CANARIES, 0.8))

    wrong = {name for name, figure in look(worker, change).items() if figure.verdict == "wrong"}
    assert wrong == {
        "within 250 ms", "lists ranked", "dead letters", "lag", "event loop silent for", "adherence gain",
        "requests followed", "conflicts lost to the platform", "requests unlike the bundle's", "golden requests",
    }  # fmt: skip


def test_several_workers_are_added_up(worker: Worker) -> None:
    other = Worker()
    other.metrics.bundle("a", "def456", 5.0)
    with other.server:
        urls = [worker.server.url, f"{other.server.url}/metrics"]
        before = read_workers(urls)
        worker.rank(5)
        other.rank(7)
        now = read_workers(urls)
    seen = {figure.name: figure for figure in figures(before, Reading(before.at + 1, now.workers))}
    assert seen["rankings"].value == "12.0/s"
    assert seen["bundle"] == Figure("bundle", "abc123, def456", "one", "wrong")
    gone = {figure.name: figure for figure in figures(now, read_workers(urls))}
    assert gone["workers"] == Figure("workers", "1 of 2 answer", urls[1], "wrong")


def test_a_worker_that_started_anew_counts_from_its_start(worker: Worker) -> None:
    worker.rank(100)
    before = read_workers([worker.server.url])
    anew = Worker()
    anew.rank(6)
    with anew.server:
        now = read_workers([anew.server.url]).workers[anew.server.url]
    seen = {f.name: f for f in figures(before, Reading(before.at + 2, {worker.server.url: now}))}
    assert seen["rankings"].value == "3.0/s"


def test_a_worker_that_answers_again_does_not_add_its_whole_life(worker: Worker) -> None:
    worker.rank(1000)
    now = read_workers([worker.server.url])
    seen = {f.name: f for f in figures(Reading(now.at - 2, {worker.server.url: None}), now)}
    assert seen["rankings"].value == "0.0/s"


def test_a_worker_that_has_only_just_started_is_not_wrong(worker: Worker) -> None:
    other, promised = Worker(), dict.fromkeys(CANARIES, 0.8)
    worker.metrics.quality.canaries(time.time(), promised, promised)
    other.metrics.quality.canaries(time.time(), {}, promised)  # they are about to be run
    with other.server:
        now = read_workers([worker.server.url, other.server.url])
    seen = {figure.name: figure for figure in figures(now, Reading(now.at + 2, now.workers))}
    assert seen["golden requests"].verdict == "well"
    assert seen["golden requests"].value.startswith("100%")


@pytest.mark.parametrize(("ago", "verdict"), [(10.0, "well"), (90.0, "wrong")])
def test_what_waits_is_wrong_once_nothing_was_consumed_for_long(worker: Worker, ago: float, verdict: str) -> None:
    worker.metrics.consumed("candidates", [1.0], time.time() - ago)
    worker.metrics.consumer_lag({("feed.candidates", 0): 1}, time.time())
    lag = look(worker)["lag"]
    assert (lag.value, lag.verdict) == ("1 events, candidates at rest", verdict)


def test_lists_that_stand_still_are_not_hidden_by_requests_that_flow(worker: Worker) -> None:
    worker.metrics.consumed("candidates", [1.0], time.time() - 90)
    worker.metrics.consumer_lag({("eu.feed.candidates", 0): 5000, ("eu.feed.requests", 0): 3}, time.time())
    lag = look(worker, lambda: worker.metrics.consumed("requests", [1.0] * 1000, time.time()))["lag"]
    assert (lag.value, lag.verdict) == ("5,003 events, candidates at rest", "wrong")


def test_workers_that_hang_hold_up_no_other(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.status.TIMEOUT", 1.0)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as hung:  # accepts, and never answers
        began = time.monotonic()
        urls = [f"http://127.0.0.1:{hung.getsockname()[1]}/{number}" for number in range(20)]
        seen = read_workers([*urls, worker.server.url]).workers
    assert time.monotonic() - began < 10
    assert [url for url, series in seen.items() if series] == [worker.server.url]


def test_exit_status_for_scripts(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.status.TIMEOUT", 60.0)  # a busy machine is no silent worker

    def status(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["status", "--once", "--interval", "0.2", *arguments])

    worker.metrics.beat(time.time() + 60, 0.0)
    well = status(worker.server.url)
    assert well.exit_code == 0, well.output
    assert "1 of 1 answer" in well.output
    silent = status("http://127.0.0.1:9")
    assert silent.exit_code == 1
    assert "wrong" in silent.output
    assert isinstance(status("ftp://here").exception, ConfigError)
    assert isinstance(status("--prometheus", "http://127.0.0.1:9").exception, ConfigError)
    assert isinstance(status("http://host:abc").exception, ConfigError)
    with MonitoringServer(CollectorRegistry(), Health()) as other:  # another exporter
        assert isinstance(status(other.url).exception, ConfigError)
