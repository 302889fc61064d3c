"""What is asked of Prometheus: the names in a query, and whether it can be read at all."""

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from monitoring import catalogue
from monitoring.alerts import failures, objectives
from monitoring.alerts.rules import Record

RECORDED = {
    rule.name for group in objectives.RECORDING + failures.RECORDING for rule in group.rules if isinstance(rule, Record)
}
KNOWN = catalogue.series() | RECORDED
_NAME = re.compile(
    r"\b(?:job\w*:[\w:]+|feedranker_\w+|process_\w+|python_\w+|up|scrape_duration_seconds|ALERTS)\b(?!\s*\()"
)
_STRING = re.compile(r'"[^"]*"')
_GROUPING = re.compile(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)")


def metrics(query: str) -> set[str]:
    """The names of metrics in it."""
    return set(_NAME.findall(_GROUPING.sub("", _STRING.sub('""', query))))


def unreadable(queries: Iterable[str], folder: Path) -> str:
    """What promtool has against these queries: it reads them as rules."""
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = folder / "queries.json"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    answer = subprocess.run(
        ["promtool", "check", "rules", file], capture_output=True, text=True, timeout=60, check=False
    )
    return answer.stdout + answer.stderr if answer.returncode else ""


def plain(query: str) -> str:
    """With Grafana's variables filled in, for all jobs and instances."""
    return query.replace("$job", ".+").replace("$instance", ".+").replace("$__rate_interval", "1m")
