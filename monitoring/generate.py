"""`python -m monitoring.generate` writes every file that is made from definitions in this package.

Elsewhere, with links that people can follow:
`python -m monitoring.generate --into DIR --runbooks https://wiki/ctrlrec --grafana https://grafana`
"""

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

from monitoring.alerts import failures, objectives
from monitoring.alerts.rules import Alert, Links, to_resource, to_yaml
from monitoring.dashboards.adherence import ADHERENCE
from monitoring.dashboards.build import Dashboard, to_json
from monitoring.dashboards.kafka import KAFKA
from monitoring.dashboards.overview import OVERVIEW
from monitoring.docs import metrics_page

DASHBOARDS = {"overview": OVERVIEW, "adherence": ADHERENCE, "kafka": KAFKA}


def _file(dashboard: Dashboard) -> Callable[[Links], str]:
    rules = [rule for group in objectives.ALERTS + failures.ALERTS for rule in group.rules]
    alerts = {rule.name for rule in rules if isinstance(rule, Alert) and rule.dashboard == dashboard.uid}
    return lambda links: to_json(dashboard, sorted(alerts), links)


ROOT = Path(__file__).parent.parent
FILES: dict[str, Callable[[Links], str]] = {
    "docs/metrics.md": lambda _: metrics_page(),
    "monitoring/alerts/recording.yml": lambda links: to_yaml(objectives.RECORDING + failures.RECORDING, links),
    "monitoring/alerts/alerts.yml": lambda links: to_yaml(objectives.ALERTS + failures.ALERTS, links),
    "monitoring/stack/kubernetes/rules.yaml": lambda links: to_resource(
        objectives.RECORDING + failures.RECORDING + objectives.ALERTS + failures.ALERTS, links
    ),
    **{f"monitoring/dashboards/{name}.json": _file(dashboard) for name, dashboard in DASHBOARDS.items()},
}


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT, help="instead of this repository")
    parser.add_argument("--runbooks", default=Links().runbooks, help="URL of the folder of runbooks")
    parser.add_argument("--grafana", default=Links().grafana, help="URL of Grafana")
    options = parser.parse_args()
    for name, made in FILES.items():
        path = options.into / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made(Links(options.runbooks, options.grafana)), encoding="utf-8")


if __name__ == "__main__":
    main()
