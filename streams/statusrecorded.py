"""The overview of `ctrlrec status` as Prometheus has recorded it."""

import json
import math
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any

from monitoring.alerts import thresholds as t
from monitoring.alerts.objectives import OBJECTIVES, Objective
from ranker.errors import ConfigError
from streams.status import Figure, Verdict, fetch

Query = tuple[str, str, str, str, Callable[[float], bool]]
"""Name, PromQL with {} for the matcher of jobs, unit, what is promised, and whether a value is wrong."""


class Prometheus:
    """The same overview as recorded by Prometheus, and the alerts that fire."""

    def __init__(self, url: str, job: str = t.JOBS) -> None:
        """`job` is a regular expression."""
        self._url, self._job = url.rstrip("/"), job

    def figures(self) -> list[Figure]:
        """Raises ConfigError where it does not answer, or does not understand."""
        up = self._values("up{}")
        found = [Figure("workers", f"{sum(up):.0f} of {len(up)} answer", "all", "well" if up and all(up) else "wrong")]
        found.append(self._rules())
        for name, query, unit, promise, bad in _QUERIES:
            values = [value for value in self._values(query) if not math.isnan(value)]
            worst = (min if promise.startswith(("above", "at least")) else max)(values, default=None)
            if worst is None:
                found.append(Figure(name, "too few were counted", promise, "unknown"))
            else:
                shown = f"{worst * 100:.3g} %" if unit == "%" else f"{worst:,.3g} {unit}".strip()
                found.append(Figure(name, shown, promise, "wrong" if bad(worst) else "well"))
        versions = sorted(
            {one["metric"].get("version", "") for one in self._ask(self._of_jobs("feedranker_bundle_info{}"))}
        )
        one_bundle: Verdict = "unknown" if not versions else "well" if len(versions) == 1 else "wrong"
        found.append(Figure("bundle", ", ".join(versions), "one", one_bundle))
        return found + [Figure("alert", f"{name} ({severity})", "", "wrong") for name, severity in self._firing()]

    def _rules(self) -> Figure:
        """Without them no alert fires, either; and of all that they record, too few would seem to have been counted."""
        if silent := sorted({one["metric"].get("job", "") for one in self._ask(self._of_jobs(_WITHOUT_RULES))}):
            return Figure("rules", f"not for {', '.join(silent)}", "evaluated", "wrong")
        if self._values(f"{_RULED}{{}}"):
            return Figure("rules", "evaluated", "evaluated", "well")
        return Figure("rules", "nothing was counted", "evaluated", "unknown")

    def _firing(self) -> Iterable[tuple[str, str]]:
        answer = self._ask(f'ALERTS{{alertstate="firing",job=~"{self._job}"}}')
        return sorted({(one["metric"]["alertname"], one["metric"].get("severity", "")) for one in answer})

    def _values(self, query: str) -> list[float]:
        return [float(one["value"][1]) for one in self._ask(self._of_jobs(query))]

    def _of_jobs(self, query: str) -> str:
        return query.replace("{}", f'{{job=~"{self._job}"}}')

    def _ask(self, query: str) -> list[dict[str, Any]]:
        try:
            answer = json.loads(fetch(f"{self._url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"))
            result: list[dict[str, Any]] = answer["data"]["result"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self._url} does not answer as Prometheus does: {error}") from error
        return result


_RULED = "job:feedranker_dead_letters:increase15m"
_WITHOUT_RULES = f"count by (job) (feedranker_dead_letters_total{{}} offset 2m) unless on (job) {_RULED}{{}}"
"""Jobs that were scraped two minutes ago already and of which no recording rule says anything."""


def _enough(figure: str, count: str, least: float) -> str:
    """The figure where so many were counted that an alert would heed it."""
    return f"{figure}{{}} and {count}{{}} > {least:g}"


def _burn(objective: Objective) -> Query:
    """As the overview has it: how many times as fast as it may the budget burns."""
    window, most = objective.pairs[0].long, objective.pairs[0].factor
    query = f"{objective.errors(window)}{{}} / {1 - objective.target:.6g}"
    return f"{objective.name} burn, {window}", query, "times", f"at most {most:g} times", lambda v: v > most


_QUERIES: tuple[Query, ...] = (
    ("rankings", "sum(rate(feedranker_end_to_end_duration_seconds_count{}[5m]))", "/s", "", lambda _: False),
    ("slower than 250 ms, 5 m", "job:feedranker_latency_errors:ratio_rate5m{}", "%",
     f"at most {100 - t.LATENCY_TARGET * 100:.3g} %", lambda v: v > 1 - t.LATENCY_TARGET),
    ("lists not ranked, 5 m", "job:feedranker_availability_errors:ratio_rate5m{}", "%",
     f"at most {100 - t.AVAILABILITY_TARGET * 100:.3g} %", lambda v: v > 1 - t.AVAILABILITY_TARGET),
    (f"older than {t.FRESHNESS_SECONDS:g} s when consumed, 5 m", "job_topic:feedranker_freshness_errors:ratio_rate5m{}", "%",
     f"at most {100 - t.FRESHNESS_TARGET * 100:.3g} %", lambda v: v > 1 - t.FRESHNESS_TARGET),
    ("requests not followed, 1 d",
     _enough("job:feedranker_adherence_errors:ratio_rate1d", "job:feedranker_adherence_events:increase1d",
             t.BAD_EVENTS / (1 - t.ADHERENCE_TARGET)),
     "%", f"at most {100 - t.ADHERENCE_TARGET * 100:.3g} %", lambda v: v > 1 - t.ADHERENCE_TARGET),
    *map(_burn, OBJECTIVES),
    ("Kafka silent for", "time() - (feedranker_consumer_lag_timestamp_seconds{} > 0)", "s",
     f"at most {t.UNREACHABLE_SECONDS} s", lambda v: v > t.UNREACHABLE_SECONDS),
    ("dead letters, 15 m", "job:feedranker_dead_letters:ratio_rate15m{}", "%",
     f"at most {t.DEAD_LETTERS_SHARE * 100:g} %", lambda v: v > t.DEAD_LETTERS_SHARE),
    ("lag", "job_topic:feedranker_consumer_lag_seconds:rate5m{}", "s", f"at most {t.LAG_SECONDS} s",
     lambda v: v > t.LAG_SECONDS),
    ("adherence gain, 1 h",
     _enough("job:feedranker_adherence_gain:mean1h", "job:feedranker_adherence_gain:increase1h", t.NO_LIFT_SAMPLES), "",
     f"above {t.NO_LIFT_GAIN:g}", lambda v: v < t.NO_LIFT_GAIN),
    ("conflicts lost to the platform, 1 h",
     _enough("job:feedranker_conflicts_dominated:ratio_rate1h", "job:feedranker_conflicts:increase1h", t.DOMINANCE_SAMPLES),
     "%", f"at most {t.DOMINANCE_SHARE * 100:g} %", lambda v: v > t.DOMINANCE_SHARE),
    ("requests unlike the bundle's, 6 h",
     _enough("job:feedranker_requests_ood:ratio_rate6h", "job:feedranker_requests:increase6h", t.OOD_SAMPLES),
     "%", f"at most {t.OOD_SHARE * 100:g} %", lambda v: v > t.OOD_SHARE),
    ("golden requests",
     "feedranker_canary_ndcg_ratio{} / (feedranker_canary_baseline_ndcg_ratio{} > 0)\n"
     "and on (job, instance) feedranker_canary_last_run_timestamp_seconds{} > 0",
     "%", f"at least {t.CANARY_SHARE * 100:g} %", lambda v: v < t.CANARY_SHARE),
)  # fmt: skip
