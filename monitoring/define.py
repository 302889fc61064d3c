"""How a metric is defined: the prefix, and all series of a closed label set present from the start."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Info

from monitoring.histogram import Histogram

PREFIX = "feedranker_"

Kind = Literal["counter", "gauge", "histogram", "info"]
Labels = Mapping[str, Iterable[str]]


@dataclass(frozen=True)
class Definition:
    """One metric, as documentation, rules and dashboards need to know it."""

    name: str
    kind: Kind
    meaning: str
    set_by: tuple[str, ...]
    """Methods of `Metrics` or `Quality`; none where every histogram does."""
    labels: dict[str, tuple[str, ...]]
    """Label → its values, or none where they are not known beforehand."""

    @property
    def series(self) -> tuple[str, ...]:
        """The names that a query may use."""
        return (
            tuple(self.name + end for end in ("_bucket", "_sum", "_count"))
            if self.kind == "histogram"
            else (self.name,)
        )


class Definitions:
    """Defines metrics in one registry and lists them.

    `by` names the methods of `Metrics` or `Quality` that set a metric. A keyword is a label with all its values; one
    without any is set later.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.all: list[Definition] = []
        self._refused = self.counter("observations_refused_total", "Observations that were NaN or infinite", "")

    def counter(self, name: str, meaning: str, by: str, **labels: Iterable[str]) -> Counter:
        counter = Counter(
            self._add(name, "counter", meaning, by, labels), meaning, tuple(labels), registry=self._registry
        )
        for values in product(*labels.values()) if labels else ():
            counter.labels(*values)
        return counter

    def gauge(self, name: str, meaning: str, by: str, **labels: Iterable[str]) -> Gauge:
        gauge = Gauge(self._add(name, "gauge", meaning, by, labels), meaning, tuple(labels), registry=self._registry)
        for values in product(*labels.values()) if labels else ():
            gauge.labels(*values)
        return gauge

    def histogram(
        self, name: str, meaning: str, bounds: Sequence[float], by: str, **labels: Iterable[str]
    ) -> Histogram:
        full = self._add(name, "histogram", meaning, by, labels)
        return Histogram(full, meaning, bounds, self._registry, self._refused, labels)

    def info(self, name: str, meaning: str, by: str, *labels: str) -> Info:
        full = self._add(name, "info", meaning, by, dict.fromkeys(labels, ()))
        return Info(full.removesuffix("_info"), meaning, registry=self._registry)

    def _add(self, name: str, kind: Kind, meaning: str, by: str, labels: Labels) -> str:
        values = {label: tuple(values) for label, values in labels.items()}
        self.all.append(Definition(PREFIX + name, kind, meaning, tuple(by.split(", ")) if by else (), values))
        return PREFIX + name
