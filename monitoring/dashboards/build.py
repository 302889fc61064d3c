"""Panels as values, and as the JSON that Grafana imports."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from monitoring.alerts import thresholds as t
from monitoring.alerts.rules import Links

WORKERS = 'job=~"$job",instance=~"$instance"'
"""Matchers of every exported series ..."""
JOBS = 'job=~"$job"'
"""... and of every recorded one."""
COLUMNS = 24

Kind = Literal["timeseries", "stat", "table"]


@dataclass(frozen=True)
class Panel:
    """`queries` are PromQL and what its series are called; `limit` is drawn as a line where the alert begins."""

    title: str
    description: str
    unit: str
    queries: Sequence[tuple[str, str]]
    kind: Kind = "timeseries"
    width: int = 8
    limit: float | None = None
    stack: bool = False


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Panel]
    height: int = 8


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    description: str
    rows: Sequence[Row]


def to_json(dashboard: Dashboard, alerts: Sequence[str], links: Links) -> str:
    """The text that Grafana 11 imports, with links to the runbooks of these alerts."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in dashboard.rows:
        panels.append({"type": "row", "title": row.title, "collapsed": False, "gridPos": _place(0, y, COLUMNS, 1)})
        x, y = 0, y + 1
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + row.height
            panels.append(_panel(panel) | {"gridPos": _place(x, y, panel.width, row.height)})
            x += panel.width
        y += row.height
    whole = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["ctrlrec"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one crosshair for all panels
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": [_firing()]},
        "links": [
            {"type": "dashboards", "title": "ctrlrec", "tags": ["ctrlrec"], "asDropdown": True, "keepTime": True,
             "includeVars": True},
            _link("Runbooks", links.runbooks),
            *(_link(name, f"{links.runbooks}/{name}.md") for name in alerts),
        ],
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, 1)],
    }  # fmt: skip
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _link(title: str, url: str) -> dict[str, Any]:
    return {"type": "link", "title": title, "url": url, "tooltip": url, "icon": "doc", "targetBlank": True, "tags": []}


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _source() -> dict[str, str]:
    return {"type": "prometheus", "uid": "${datasource}"}


def _panel(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "fillOpacity": 15 if panel.stack else 0,
            "stacking": {"mode": "normal" if panel.stack else "none"},
            "thresholdsStyle": {"mode": "off" if panel.limit is None else "dashed"},
        }
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    # A range would have a stat show its last value long after the workers are gone.
    instant = panel.kind != "timeseries"
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _source(),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _source(),
                "expr": expr,
                "legendFormat": legend,
                "instant": instant,
                "range": not instant,
                "format": "table" if panel.kind == "table" else "time_series",
            }
            for number, (expr, legend) in enumerate(panel.queries)
        ],
    }


def _variables() -> list[dict[str, Any]]:
    def of_series(name: str, matcher: str, every: str) -> dict[str, Any]:
        query = f"label_values(feedranker_build_info{matcher}, {name})"
        return {
            "name": name, "label": name, "type": "query", "datasource": _source(), "refresh": 2,
            "query": {"query": query, "refId": name}, "definition": query,
            "includeAll": True, "multi": True, "allValue": every, "current": {"text": "All", "value": "$__all"},
        }  # fmt: skip

    datasource = {
        "name": "datasource",
        "label": "datasource",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
    }
    return [datasource, of_series("job", "", t.JOBS), of_series("instance", f"{{{JOBS}}}", ".+")]


def _firing() -> dict[str, Any]:
    return {
        "name": "alerts", "enable": True, "iconColor": "red", "datasource": _source(),
        "expr": f'ALERTS{{alertstate="firing",{JOBS}}}', "titleFormat": "{{alertname}}", "textFormat": "{{severity}}",
        "step": "60s",
    }  # fmt: skip
