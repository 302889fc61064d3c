"""What is wrong with most dashboards, forbidden."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from monitoring.alerts import thresholds
from monitoring.alerts.rules import Links
from monitoring.generate import DASHBOARDS, FILES, ROOT
from tests.unit.queries import KNOWN, RECORDED, metrics, plain, unreadable
from tests.unit.test_alerts import ALERTS, needs_promtool

WHOLE = {name: json.loads((ROOT / f"monitoring/dashboards/{name}.json").read_text()) for name in DASHBOARDS}
PANELS: dict[str, dict[str, Any]] = {
    f"{name}: {panel['title']}": panel
    for name, whole in WHOLE.items()
    for panel in whole["panels"]
    if panel["type"] != "row"
}
QUERIES: dict[str, str] = {
    f"{name} {target['refId']}": target["expr"] for name, panel in PANELS.items() for target in panel["targets"]
}
_SELECTOR = re.compile(
    r"\b((?:feedranker|process|python)_\w+|job\w*:[\w:]+|up|scrape_duration_seconds|ALERTS)\{([^}]*)\}(\[[^\]]+\])?"
)
_COUNTER = re.compile(r"_(total|bucket|count|sum)$")


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS.keys())
def test_panel(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) >= 8
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    ids = [target["refId"] for target in panel["targets"]]
    assert ids
    assert len(ids) == len(set(ids))
    assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
    assert all(target["legendFormat"] for target in panel["targets"])


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_query(query: str) -> None:
    named = metrics(query)
    assert named
    assert named <= KNOWN
    selectors = _SELECTOR.findall(query)
    assert {name for name, _, _ in selectors} == named, "a metric without matchers"
    for name, matchers, window in selectors:
        assert 'job=~"$job"' in matchers
        assert name in RECORDED or name == "ALERTS" or 'instance=~"$instance"' in matchers
        assert window in ("", "[$__rate_interval]")
        assert bool(window) == bool(_COUNTER.search(name) and name not in RECORDED), (
            "a counter is rated, a gauge is not"
        )


@pytest.mark.parametrize("whole", WHOLE.values(), ids=WHOLE.keys())
def test_dashboard(whole: dict[str, Any]) -> None:
    variables = {variable["name"]: variable for variable in whole["templating"]["list"]}
    assert variables.keys() == {"datasource", "job", "instance"}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    assert variables["job"]["allValue"] == thresholds.JOBS, "other people's jobs"
    ids = [panel["id"] for panel in whole["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in whole["panels"]]
    assert len(titles) == len(set(titles))
    places = [panel["gridPos"] for panel in whole["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert not [pair for pair in combinations(places, 2) if _overlap(*pair)]


def _overlap(a: dict[str, int], b: dict[str, int]) -> bool:
    return (
        a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]
    )


def test_golden_requests_that_there_are_not_are_no_failure() -> None:
    """The nDCG of a kind that the bundle has none of, or that has not been run yet, is 0."""
    shown = [query for query in QUERIES.values() if "feedranker_canary_ndcg_ratio" in query]
    assert len(shown) == 2
    for query in shown:
        assert re.search(r"feedranker_canary_baseline_ndcg_ratio{[^}]+} > 0", query)
        assert re.search(r"feedranker_canary_last_run_timestamp_seconds{[^}]+} > 0", query)


def test_alerts_link_to_dashboards() -> None:
    uids = [whole["uid"] for whole in WHOLE.values()]
    assert len(uids) == len(set(uids))
    assert {alert.dashboard for alert in ALERTS} <= set(uids)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_dashboards_link_to_runbooks(name: str) -> None:
    whole = json.loads(FILES[f"monitoring/dashboards/{name}.json"](Links("https://wiki/ctrlrec")))
    urls = {link["url"] for link in whole["links"] if link["type"] == "link"}
    runbooks = {alert.name for alert in ALERTS if alert.dashboard == whole["uid"]}
    assert runbooks
    assert urls == {"https://wiki/ctrlrec", *(f"https://wiki/ctrlrec/{name}.md" for name in runbooks)}


@needs_promtool
def test_prometheus_can_read_the_queries(tmp_path: Path) -> None:
    assert unreadable(map(plain, QUERIES.values()), tmp_path) == ""
