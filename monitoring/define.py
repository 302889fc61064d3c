"""How a metric is defined: the prefix, and all series of a closed label set present from the start."""

from collections.abc import Iterable, Sequence
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Info

from monitoring.histogram import Histogram

PREFIX = "feedranker_"


class Definitions:
    """Defines metrics in one registry. A keyword is a label with all its values; one without any is set later."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._refused = self.counter("observations_refused_total", "Observations that were NaN or infinite")

    def counter(self, name: str, documentation: str, **labels: Iterable[str]) -> Counter:
        counter = Counter(PREFIX + name, documentation, tuple(labels), registry=self._registry)
        for values in product(*labels.values()) if labels else ():
            counter.labels(*values)
        return counter

    def gauge(self, name: str, documentation: str, **labels: Iterable[str]) -> Gauge:
        gauge = Gauge(PREFIX + name, documentation, tuple(labels), registry=self._registry)
        for values in product(*labels.values()) if labels else ():
            gauge.labels(*values)
        return gauge

    def histogram(self, name: str, documentation: str, bounds: Sequence[float], **labels: Iterable[str]) -> Histogram:
        return Histogram(PREFIX + name, documentation, bounds, self._registry, self._refused, labels)

    def info(self, name: str, documentation: str) -> Info:
        return Info(PREFIX + name.removesuffix("_info"), documentation, registry=self._registry)
