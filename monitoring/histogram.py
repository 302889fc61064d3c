"""Histograms that take a batch of observations at a time.

`prometheus_client.Histogram` spends most of a microsecond on one observation. A worker makes a dozen for each list it
ranks, thousands of lists a second, and has them in batches: sorted, a batch costs one bisection per bucket.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, product
from math import inf, isfinite
from threading import Lock

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

FEW = 16
"""Up to so many observations one bisection each is cheaper than sorting them."""


class Buckets:
    """The counts of one set of label values. Safe to use from several threads."""

    def __init__(self, bounds: Sequence[float], refused: Counter) -> None:
        self._bounds, self._refused, self._lock = bounds, refused, Lock()
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count `value`, `times` over. NaN, infinity and what is too large to add would ruin the sum for good: they are
        refused and counted."""
        with self._lock:
            total = self._sum + value * times
            if isfinite(total):
                self._counts[bisect_left(self._bounds, value)] += times
                self._sum = total
                return
        self._refused.inc(times)

    def observe_many(self, values: Sequence[float]) -> None:
        """Count all of `values`, refusing those that `observe` would."""
        total = sum(values)
        with self._lock:
            if fits := isfinite(self._sum + total):
                self._sum += total
                self._sort_in(values)
        if not fits:
            for value in values:
                self.observe(value)

    def _sort_in(self, values: Sequence[float]) -> None:
        counts, bounds = self._counts, self._bounds
        if len(values) <= FEW:
            for value in values:
                counts[bisect_left(bounds, value)] += 1
            return
        ordered, below = sorted(values), 0
        for bucket, bound in enumerate(bounds):
            upto = bisect_right(ordered, bound, below)
            counts[bucket] += upto - below
            below = upto
        counts[-1] += len(ordered) - below

    def snapshot(self) -> tuple[list[int], float]:
        """Cumulative counts, the last being of all observations, and their sum."""
        with self._lock:
            return list(accumulate(self._counts)), self._sum


class Histogram(Collector):
    """One metric, registered on creation, with every combination of its label values present from the start."""

    def __init__(
        self,
        name: str,
        documentation: str,
        bounds: Sequence[float],
        registry: CollectorRegistry,
        refused: Counter,
        labels: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        """`bounds` are the finite upper bounds, ascending; `labels` maps each label to all its values."""
        self._name, self._documentation, self._labels = name, documentation, tuple(labels or ())
        self._le = [floatToGoString(bound) for bound in (*bounds, inf)]  # type: ignore[no-untyped-call]
        values = product(*(labels or {}).values())
        self._children = {combination: Buckets(tuple(bounds), refused) for combination in values}
        registry.register(self)

    def labels(self, *values: str) -> Buckets:
        """The child of these label values, to be kept by the caller. Raises KeyError outside the closed sets."""
        return self._children[values]

    def describe(self) -> list[HistogramMetricFamily]:
        return [HistogramMetricFamily(self._name, self._documentation, labels=self._labels)]

    def collect(self) -> list[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, child in self._children.items():
            counts, total = child.snapshot()
            family.add_metric(values, list(zip(self._le, map(float, counts), strict=True)), total)
        return [family]
