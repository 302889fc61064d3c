"""Rules as values, and as the YAML that Prometheus reads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monitoring.alerts.thresholds import Severity


@dataclass(frozen=True)
class Links:
    """What annotations link to: by default paths, in this repository and in Grafana."""

    runbooks: str = "monitoring/runbooks"
    grafana: str = ""


@dataclass(frozen=True)
class Record:
    """A recording rule."""

    name: str
    expr: str


@dataclass(frozen=True)
class Alert:
    """An alerting rule; its runbook has its name."""

    name: str
    severity: Severity
    expr: str
    summary: str
    description: str
    dashboard: str
    wait: str = "0s"
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    name: str
    rules: Sequence[Record | Alert]


def seconds(duration: str) -> int:
    """Of a duration as Prometheus writes it."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[duration[-1]]


def to_yaml(groups: Sequence[Group], links: Links) -> str:
    """The text of a rule file."""
    lines = ["# Made by `python -m monitoring.generate` from monitoring/alerts: change it there.", "groups:"]
    for group in groups:
        lines += [f"  - name: {group.name}", "    rules:"]
        for rule in group.rules:
            lines += _record(rule) if isinstance(rule, Record) else _alert(rule, links)
    return "\n".join(lines) + "\n"


def to_resource(groups: Sequence[Group], links: Links) -> str:
    """The text of a PrometheusRule, which the Prometheus operator loads."""
    head, _, body = to_yaml(groups, links).partition("groups:\n")
    kind = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: ctrlrec\nspec:\n  groups:\n"
    return head + kind + "".join(f"  {line}" for line in body.splitlines(keepends=True))


def _record(rule: Record) -> list[str]:
    return [f"      - record: {rule.name}", *_expr(rule.expr)]


def _alert(rule: Alert, links: Links) -> list[str]:
    annotations = {
        "summary": rule.summary,
        "description": rule.description,
        "runbook_url": f"{links.runbooks}/{rule.name}.md",
        "dashboard_url": f"{links.grafana}/d/{rule.dashboard}",
    }
    waits = [] if rule.wait == "0s" else [f"        for: {rule.wait}"]
    labels = {"severity": rule.severity, **rule.labels}
    return [
        f"      - alert: {rule.name}", *_expr(rule.expr), *waits, *_map("labels", labels), *_map("annotations", annotations)
    ]  # fmt: skip


def _expr(expr: str) -> list[str]:
    return ["        expr: |-", *(f"          {line}" for line in expr.splitlines())]


def _map(name: str, values: Mapping[str, str]) -> list[str]:
    # A JSON string is a YAML string, whatever is in it.
    return [
        f"        {name}:",
        *(f"          {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()),
    ]
