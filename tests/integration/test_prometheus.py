"""A real Prometheus scrapes a real worker under traffic, with the rules loaded."""

import json
import math
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from monitoring.alerts.objectives import OBJECTIVES
from monitoring.catalogue import definitions
from monitoring.define import PREFIX
from streams.status import figures, read_workers
from streams.statusrecorded import Prometheus as Recorded
from tests.live import ITEMS, Live, live_settings, new_id, request
from tests.prometheus import Prometheus, needs_prometheus, until
from tests.unit.queries import RECORDED, plain
from tests.unit.test_alerts import ALERTS, RULES
from tests.unit.test_dashboards import QUERIES
from tests.unit.test_runbooks import RUNBOOKS
from tests.unit.test_runbooks import queries as runbook_queries
from tests.wordbundle import usual_requests, word_bundle

pytestmark = needs_prometheus


@pytest.fixture(scope="module")
def live(embedded: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A worker whose bundle understands words, so that there is something to win, and golden requests that run soon."""
    folder = tmp_path_factory.mktemp("words")
    bundle = word_bundle(folder / "bundle")
    with Live(live_settings(embedded, bundle, canary_interval=2.0), folder) as live:
        yield live


@pytest.fixture(scope="module")
def prometheus(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has seen the worker before and after some traffic, and the rules have been evaluated since."""
    targets = {"ctrlrec": [live.worker.monitoring]}
    with Prometheus(tmp_path_factory.mktemp("prometheus"), targets, RULES) as server:
        until(lambda: server.values('up{job="ctrlrec"}') == [1])
        ranked = live.worker.metrics()['feedranker_rankings_total{outcome="controlled"}']
        for _ in range(3):
            _traffic(live)
            time.sleep(2)
        sent = ranked + 3 * 5
        until(lambda: server.values('sum(feedranker_rankings_total{outcome="controlled"})') >= [sent])
        # What is counted every few seconds, and what rules make of it.
        until(lambda: all(server.values(f"count({{__name__={json.dumps(name)}}})") for name in RECORDED))
        yield server


def _traffic(live: Live) -> None:
    readers = [new_id() for _ in range(5)]
    wishes = [each.text for each in usual_requests()[:4]]
    for reader, text in zip(readers, [*wishes, "zxqv wkjh qqpx"], strict=True):
        live.publish("requests", request(reader, text))
    live.send("items", json.dumps({"item_id": new_id(), "text": "a ghost story"}).encode(), b"k").get(timeout=30)
    for reader in readers:
        live.rank_until(lambda ranking: ranking.degraded is None, reader)
    live.rank(new_id())
    live.rank(new_id(), item_ids=[*ITEMS[:49], "unheard of"])
    live.dead_letter(live.send("candidates", b"{"))


def test_every_rule_is_healthy(prometheus: Prometheus) -> None:
    until(lambda: all(rule["health"] != "unknown" for rule in _rules(prometheus)))
    rules = _rules(prometheus)
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
    assert {rule["name"] for rule in rules} == RECORDED | {alert.name for alert in ALERTS}


def _rules(prometheus: Prometheus) -> list[dict[str, Any]]:
    return [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]


def test_nobody_is_called_for_a_healthy_worker(prometheus: Prometheus) -> None:
    firing = [alert for alert in prometheus.ask("alerts")["alerts"] if alert["state"] == "firing"]
    # One list in twenty was bad, on purpose.
    assert {alert["labels"]["alertname"] for alert in firing} <= {"DeadLetters"}
    for alert in firing:
        assert "ctrlrec" in alert["annotations"]["summary"]
        assert "<error" not in "".join(alert["annotations"].values())


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_dashboards_have_data(prometheus: Prometheus, query: str) -> None:
    found = prometheus.values(plain(query))
    # Nothing fires, perhaps. Nobody joins or leaves here, and a quantile of nothing is no number.
    assert found or "ALERTS" in query
    assert any(map(math.isfinite, found)) or "ALERTS" in query or "rebalance_duration" in query


def test_status_says_it_in_a_terminal(prometheus: Prometheus, live: Live) -> None:
    before = read_workers([live.worker.monitoring])
    _traffic(live)
    said = {figure.name: figure.verdict for figure in figures(before, read_workers([live.worker.monitoring]))}
    recorded = {figure.name: figure.verdict for figure in Recorded(prometheus.url).figures()}
    for verdicts in (said, recorded):
        assert [verdicts[name] for name in ("workers", "bundle", "Kafka silent for", "golden requests")] == ["well"] * 4
    assert [name for name, verdict in said.items() if verdict == "unknown"] == []
    few = {"requests not followed, 1 d", "adherence gain, 1 h", "conflicts lost to the platform, 1 h",
           "requests unlike the bundle's, 6 h"}  # fmt: skip
    assert {name for name, verdict in recorded.items() if verdict == "unknown"} <= few
    assert {f"{objective.name} burn, {objective.pairs[0].long}" for objective in OBJECTIVES} <= recorded.keys()


SELDOM = {
    "observations_refused_total", "clock_skew_events_total", "bundle_swaps_total", "consumer_lag_events",
}  # fmt: skip
"""What is 0 under healthy traffic; each has a test that sets it."""


@pytest.mark.usefixtures("prometheus")
def test_every_metric_of_the_catalogue_is_seen_to_be_set(live: Live) -> None:
    scraped = live.worker.metrics()
    sums = {definition.name: sum(value for name, value in scraped.items() if name.partition("{")[0] in definition.series)
            for definition in definitions()}  # fmt: skip
    assert {name.removeprefix(PREFIX) for name, value in sums.items() if not value} <= SELDOM


def test_runbooks_can_be_pasted(prometheus: Prometheus) -> None:
    for path in RUNBOOKS:
        for query in runbook_queries(path):
            prometheus.ask("query", query=query)


def test_promtool_accepts_what_a_worker_exports(live: Live) -> None:
    with urllib.request.urlopen(f"{live.worker.monitoring}/metrics", timeout=5) as answer:  # noqa: S310
        text = answer.read()
    told = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    ours = [
        line for line in told.stdout.decode().splitlines() + told.stderr.decode().splitlines() if "feedranker" in line
    ]
    assert ours == []


def test_promtool_accepts_the_configuration(prometheus: Prometheus) -> None:
    command = ["promtool", "check", "config", str(prometheus.config)]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
