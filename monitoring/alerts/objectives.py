"""The service level objectives: their error ratios, recorded once a window, and the alerts on how fast budgets burn."""

from dataclasses import dataclass

from monitoring.alerts import thresholds as t
from monitoring.alerts.rules import Alert, Group, Record
from monitoring.alerts.thresholds import FAST, SLOW, Pair


@dataclass(frozen=True)
class Objective:
    """`target` of the events that `total` selects are among those that `good` selects, by `by`."""

    name: str
    target: float
    good: str
    total: str
    pairs: tuple[Pair, ...]
    bad_events: str
    """What the events are that spend the budget, for a sentence."""
    dashboard: str
    by: str = "job"

    @property
    def level(self) -> str:
        return self.by.replace(", ", "_")

    def errors(self, window: str) -> str:
        """The name of the recorded share of bad events."""
        return f"{self.level}:feedranker_{self.name}_errors:ratio_rate{window}"

    def events(self, window: str) -> str:
        """The name of the recorded count of events."""
        return f"{self.level}:feedranker_{self.name}_events:increase{window}"

    def records(self) -> list[Record]:
        windows = {window for pair in self.pairs for window in (pair.short, pair.long)}
        rates = {w: (self._sum("rate", self.good, w), self._sum("rate", self.total, w)) for w in windows}
        errors = [
            Record(self.errors(w), f"1 -\n  {rates[w][0]}\n  / {rates[w][1]}") for w in sorted(windows, key=_minutes)
        ]
        events = [Record(self.events(pair.long), self._sum("increase", self.total, pair.long)) for pair in self.pairs]
        return errors + events

    def alerts(self) -> list[Alert]:
        return [self._alert(pair) for pair in self.pairs]

    def _sum(self, function: str, selector: str, window: str) -> str:
        return f"sum by ({self.by}) ({function}({selector}[{window}]))"

    def _alert(self, pair: Pair) -> Alert:
        budget = 1 - self.target
        limit = round(pair.factor * budget, 6)
        days = round(t.BUDGET_DAYS / pair.factor, 1)
        where = " of {{ $labels.topic }}" if "topic" in self.by else ""
        return Alert(
            f"{self.name.capitalize()}Burn",
            pair.severity,
            f"{self.errors(pair.long)} > {limit}\n"
            f"and {self.errors(pair.short)} > {limit}\n"
            f"and {self.errors(pair.long)} * {self.events(pair.long)} > {t.BAD_EVENTS}",
            f"{{{{ $labels.job }}}}: the {self.name} budget{where} is burning",
            f"{{{{ $value | humanizePercentage }}}} of {self.bad_events}{where} over {pair.long}, and it goes on; "
            f"{budget * 100:.3g} % are allowed. At {limit * 100:.3g} % the budget of {t.BUDGET_DAYS} days lasts {days:g}.",
            self.dashboard,
            labels={"slo": self.name, "window": pair.long},
        )


def _minutes(window: str) -> int:
    return int(window[:-1]) * {"m": 1, "h": 60, "d": 1440}[window[-1]]


OBJECTIVES = (
    Objective(
        "latency", t.LATENCY_TARGET,
        f'feedranker_end_to_end_duration_seconds_bucket{{le="{t.LATENCY_SECONDS}"}}',
        "feedranker_end_to_end_duration_seconds_count",
        FAST + SLOW, f"lists took longer than {t.LATENCY_SECONDS * 1000:g} ms", "ctrlrec-overview",
    ),
    Objective(
        "availability", t.AVAILABILITY_TARGET,
        # A list that is broken, too long or one too many is its sender's fault: DeadLetters tells.
        'feedranker_rankings_total{outcome!~"error|refused"}', 'feedranker_rankings_total{outcome!="refused"}',
        FAST + SLOW, "lists got no ranking", "ctrlrec-overview",
    ),
    Objective(
        "freshness", t.FRESHNESS_TARGET,
        # A catalogue may come in bulk: items are nobody's waiting.
        f'feedranker_event_age_seconds_bucket{{topic!="items",le="{t.FRESHNESS_SECONDS}"}}',
        'feedranker_event_age_seconds_count{topic!="items"}',
        FAST + SLOW, f"events were older than {t.FRESHNESS_SECONDS:g} s when consumed", "ctrlrec-kafka", "job, topic",
    ),
    Objective(
        "adherence", t.ADHERENCE_TARGET,
        'feedranker_adherence_evaluations_total{result="adherent"}',
        'feedranker_adherence_evaluations_total{result=~"adherent|nonadherent"}',
        SLOW, "sampled rankings did not follow the request", "ctrlrec-adherence",
    ),
)  # fmt: skip

RECORDING = [Group(f"ctrlrec-{objective.name}", objective.records()) for objective in OBJECTIVES]
ALERTS = [Group(f"ctrlrec-{objective.name}-alerts", objective.alerts()) for objective in OBJECTIVES]
