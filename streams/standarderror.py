"""A mean with an honest standard error, where observations come in clusters."""

from math import nan, sqrt


class ClusteredMean:
    """The mean of all observations; its standard error takes those of one cluster as correlated however much.

    SE² = C / (C - 1) · Σ_c (Σ_i (x_ci - mean))² / N²: Liang and Zeger, Biometrika 1986, for a mean; C clusters, N
    observations. With one observation a cluster it is the usual standard error.
    """

    def __init__(self) -> None:
        self._clusters: dict[str, list[float]] = {}

    def add(self, cluster: str, value: float) -> None:
        """One observation."""
        sums = self._clusters.setdefault(cluster, [0.0, 0.0])
        sums[0] += 1
        sums[1] += value

    @property
    def count(self) -> int:
        return round(sum(count for count, _ in self._clusters.values()))

    @property
    def clusters(self) -> int:
        return len(self._clusters)

    @property
    def mean(self) -> float:
        """NaN without observations."""
        return sum(total for _, total in self._clusters.values()) / self.count if self._clusters else nan

    @property
    def standard_error(self) -> float:
        """NaN for fewer than two clusters."""
        if self.clusters < 2:
            return nan
        mean = self.mean
        squares = sum((total - count * mean) ** 2 for count, total in self._clusters.values())
        return sqrt(self.clusters / (self.clusters - 1) * squares) / self.count
