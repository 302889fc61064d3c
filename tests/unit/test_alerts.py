"""The rules, as Prometheus itself judges them."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from monitoring.alerts import failures, objectives, thresholds
from monitoring.alerts.rules import Alert, Links, Record, to_yaml
from monitoring.generate import ROOT
from tests.unit.alert_cases import CASES, Case

RULES = [ROOT / f"monitoring/alerts/{name}.yml" for name in ("recording", "alerts")]
ALERTS = [rule for g in objectives.ALERTS + failures.ALERTS for rule in g.rules if isinstance(rule, Alert)]

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="NO PROMTOOL: the rules are not tested (Debian's package is prometheus)"
)


def promtool(*arguments: str | Path) -> str:
    answer = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=100, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@needs_promtool
def test_rules_are_valid() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Case → what promtool says of it; all in one run, since each start of it costs more than a case."""
    folder = tmp_path_factory.mktemp("promtool")
    order = [group.name for group in objectives.RECORDING + failures.RECORDING + objectives.ALERTS + failures.ALERTS]
    common = {"rule_files": list(map(str, RULES)), "evaluation_interval": "5m", "group_eval_order": order}
    for number, case in enumerate(CASES):
        (folder / f"{number}.json").write_text(json.dumps(common | {"tests": [as_test(case)]}))
    files = [folder / f"{number}.json" for number in range(len(CASES))]
    command = ["promtool", "test", "rules", *map(str, files)]
    answer = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200, check=False
    )
    sections = answer.stdout.split("Unit Testing:  ")[1:]
    return {case.name: section for case, section in zip(CASES, sections, strict=True)}


def as_test(case: Case) -> dict[str, object]:
    """The names of all alerts that fire at the end, with windows and causes, must be those of the case; each has a job."""
    expected = [(one, "") if isinstance(one, str) else one for one in case.fires]
    labels = [f'alertname="{name}"' + (f',which="{which}"' if which else "") for name, which in expected]
    firing = 'ALERTS{alertstate="firing",job=~"ctrlrec.*"}'
    query = {
        "expr": f'count by (alertname, which) (label_join({firing}, "which", "", "window", "cause"))',
        "eval_time": f"{case.minutes}m",
        "exp_samples": [{"labels": f"{{{one}}}", "value": 1} for one in labels],
    }
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    return {"interval": "1m", "input_series": series, "promql_expr_test": [query]}


@needs_promtool
@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_what_fires(name: str, verdicts: dict[str, str]) -> None:
    assert verdicts[name].strip().endswith("SUCCESS"), verdicts[name]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: "-".join([alert.name, *alert.labels.values()]))
def test_every_alert_has_a_case_that_fires_and_one_that_does_not(alert: Alert) -> None:
    which = alert.labels.get("window") or alert.labels.get("cause")
    key = (alert.name, which) if which else alert.name
    fires = [case for case in CASES if key in case.fires]
    assert fires
    series = {name.partition("{")[0] for case in fires for name in case.series if not name.startswith("up")}
    silent = [case for case in CASES if key not in case.fires]
    assert [c for c in silent if series & {name.partition("{")[0] for name in c.series} or alert.name == "Down"]


@pytest.mark.parametrize("objective", objectives.OBJECTIVES, ids=lambda objective: objective.name)
def test_a_burn_can_fire_at_all(objective: objectives.Objective) -> None:
    assert all(pair.factor * (1 - objective.target) < 1 for pair in objective.pairs)
    assert len({pair.long for pair in objective.pairs}) == len(objective.pairs)


def test_nobody_is_woken_for_adherence() -> None:
    kinds = {alert.severity for alert in ALERTS if alert.dashboard == "ctrlrec-adherence"}
    assert kinds == {"ticket"}
    assert {alert.name for alert in ALERTS if alert.severity == "page"} >= {"Stalled", "LagGrowing", "Down"}


def test_a_ratio_is_recorded_once() -> None:
    groups = objectives.RECORDING + failures.RECORDING
    names = [rule.name for group in groups for rule in group.rules if isinstance(rule, Record)]
    assert len(names) == len(set(names))


def test_alerts_say_what_and_where_to_look() -> None:
    for alert in ALERTS:
        assert alert.summary
        assert alert.description.endswith(".")
        assert not alert.summary.endswith(".")
    text = to_yaml(objectives.ALERTS, Links("https://wiki/ctrlrec", "https://grafana"))
    assert 'runbook_url: "https://wiki/ctrlrec/LatencyBurn.md"' in text
    assert 'dashboard_url: "https://grafana/d/ctrlrec-overview"' in text


def test_thresholds_are_bounds_of_the_histograms() -> None:
    from monitoring.metrics import LONG_SECONDS, SECONDS

    assert {thresholds.LATENCY_SECONDS, thresholds.LOOP_LATE_SECONDS} <= set(SECONDS)
    assert thresholds.FRESHNESS_SECONDS in LONG_SECONDS
