"""Every alert has a runbook, every runbook an alert, and what it says to paste can be pasted."""

import re
from pathlib import Path

import pytest

from monitoring.alerts import thresholds
from monitoring.generate import ROOT
from tests.unit.queries import KNOWN, RECORDED, metrics, unreadable
from tests.unit.test_alerts import ALERTS, RULES, needs_promtool

FOLDER = ROOT / "monitoring/runbooks"
RUNBOOKS = sorted(FOLDER.glob("*.md"))
_QUERY = re.compile(r"^```promql\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def queries(path: Path) -> list[str]:
    return _QUERY.findall(path.read_text())


def test_alerts_and_runbooks_are_one_to_one() -> None:
    assert {path.stem for path in RUNBOOKS} == {alert.name for alert in ALERTS}


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_runbook(path: Path) -> None:
    text = path.read_text()
    parts = [f"# {path.stem}", "**Meaning.**", "**Impact.**", "## Diagnosis", "## Likely causes, and what to do"]
    places = [text.find(part) for part in [*parts, "## Over when", "**False positives.**"]]
    assert -1 not in places
    assert places == sorted(places)
    assert len(queries(path)) >= 2
    for query in queries(path):
        assert metrics(query)
        assert metrics(query) <= KNOWN, query
    named = set(re.findall(r"`(feedranker_\w+)", text))
    assert {name for name in named if not any(known.startswith(name) for known in KNOWN)} == set()
    links = re.findall(r"\]\((\w+\.md)\)", text)
    assert all((FOLDER / link).exists() for link in links)


@needs_promtool
def test_queries_can_be_pasted(tmp_path: Path) -> None:
    assert unreadable((query for path in RUNBOOKS for query in queries(path)), tmp_path) == ""


def test_rules_name_only_what_exists() -> None:
    for file in RULES:
        text = file.read_text()
        exprs = re.findall(r"expr: \|-\n((?:          .*\n)+)", text)
        assert len(exprs) == text.count("expr:")
        assert all(metrics(expr) <= KNOWN for expr in exprs)


def test_names_are_found() -> None:
    query = 'sum by (job, process_x) (rate(feedranker_a_total{b="feedranker_c"}[5m])) / on (up) job:feedranker_d:e'
    assert metrics(query) == {"feedranker_a_total", "job:feedranker_d:e"}
    assert RECORDED <= KNOWN


def test_thresholds_in_runbooks_are_those_of_the_alerts() -> None:
    over = {path.stem: path.read_text().partition("## Over when")[2] for path in RUNBOOKS}
    limits = {
        "LatencyBurn": 1 - thresholds.LATENCY_TARGET,
        "AvailabilityBurn": 1 - thresholds.AVAILABILITY_TARGET,
        "FreshnessBurn": 1 - thresholds.FRESHNESS_TARGET,
        "AdherenceBurn": 1 - thresholds.ADHERENCE_TARGET,
        "NoLift": thresholds.NO_LIFT_GAIN,
        "BaseDominance": thresholds.DOMINANCE_SHARE,
        "NoInventory": thresholds.NO_INVENTORY_SHARE,
        "OodShift": thresholds.OOD_SHARE,
        "OverfitGap": thresholds.OVERFIT_GAP,
        "EmbeddingDrift": thresholds.DRIFT_PSI,
        "LagGrowing": thresholds.LAG_SECONDS,
        "DeadLetters": thresholds.DEAD_LETTERS_SHARE,
        "LoopBlocked": thresholds.LOOP_SILENT_SECONDS,
    }
    for name, limit in limits.items():
        assert re.search(rf"[<>] {round(limit, 6):g}\n", over[name]), name
