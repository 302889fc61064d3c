"""Every alert has a runbook, every runbook an alert, and what it says to paste can be pasted."""

import re
from pathlib import Path

import pytest
import typer

from monitoring.alerts import thresholds
from monitoring.generate import DASHBOARDS, ROOT
from streams.cli import build
from streams.settings import Settings
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


@pytest.mark.parametrize("query", [query for path in RUNBOOKS for query in queries(path)])
def test_a_query_shows_our_workers_and_no_age_of_1970(query: str) -> None:
    assert re.findall(r"\b(?:up|process_\w+)\b(?!{job=~\"" + re.escape(thresholds.JOBS) + '")', query) == []
    if " - " in query and "_timestamp_seconds" in query:
        assert "_timestamp_seconds > 0)" in query, "what has not happened yet is 0"


def test_causes_are_in_the_runbooks() -> None:
    causes = {(alert.name, alert.labels["cause"]) for alert in ALERTS if "cause" in alert.labels}
    assert causes >= {("Stalled", "hung"), ("Stalled", "unreachable"), ("LoopBlocked", "silent")}
    assert {(n, c) for n, c in causes if f'`cause="{c}"`' not in (FOLDER / f"{n}.md").read_text()} == set()


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


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_it_shows_a_row_of_the_dashboard_that_its_alert_names(path: Path) -> None:
    (shown,) = re.findall(r"!\[(.+)\]\((\S+)\)", path.read_text())
    title, picture = shown[0], (FOLDER / shown[1]).resolve()
    assert picture.is_file()
    name, _, number = picture.stem.rpartition("-")
    assert DASHBOARDS[name].rows[int(number) - 1].title == title
    assert {alert.dashboard for alert in ALERTS if alert.name == path.stem} == {DASHBOARDS[name].uid}


def test_every_row_has_a_picture() -> None:
    rows = {f"{name}-{n}.png" for name, board in DASHBOARDS.items() for n in range(1, len(board.rows) + 1)}
    assert {path.name for path in (ROOT / "docs/img").iterdir()} == rows


_COMMAND = re.compile(r"(?m)(?:`|^    )ctrlrec ([^`\n]+)")


def wrong_words(command: str) -> list[str]:
    """The words of `ctrlrec ...` that are neither a command nor an option of it, or what ends at a group."""
    at, wrong = typer.main.get_command(build()), []
    for word in command.partition("  #")[0].split():
        commands = getattr(at, "commands", {})
        if word in commands:
            at = commands[word]
        elif commands or (word.startswith("--") and word not in {name for each in at.params for name in each.opts}):
            wrong.append(word)
    return wrong or ([f"{command}: which?"] if getattr(at, "commands", {}) else [])


@pytest.mark.parametrize("path", [*RUNBOOKS, ROOT / "docs/operations.md"], ids=lambda path: path.stem)
def test_commands_and_settings_exist(path: Path) -> None:
    text = path.read_text()
    commands = _COMMAND.findall(text)
    assert {command: wrong for command in commands if (wrong := wrong_words(command))} == {}
    known = {f"CTRLREC_{field.upper()}" for field in Settings.__struct_fields__}
    assert set(re.findall(r"CTRLREC_[A-Z_]+", text)) <= known


def test_a_wrong_command_is_noticed() -> None:
    assert wrong_words("bundle roll-back --now") == ["roll-back", "--now"]
    assert wrong_words("evaluate") == ["evaluate: which?"]
    assert wrong_words("redrive --class bug --sent") == ["--sent"]
    assert wrong_words("dead-letters show 0@17  # one of them") == []


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
