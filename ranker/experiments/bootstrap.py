"""How sure a figure is: percentile intervals over resampled requests (Efron 1979)."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
RESAMPLES = 2000


class Estimate(msgspec.Struct, frozen=True):
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def resampled(strata: Sequence[int], seed: int, resamples: int = RESAMPLES) -> NDArray[np.intp]:
    """(resamples, m) rows drawn with replacement, as many from each stratum as it has; `strata` (m,) are labels."""
    labels = np.asarray(strata)
    random = np.random.default_rng(seed)
    drawn = np.empty((resamples, len(labels)), np.intp)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        drawn[:, rows] = random.choice(rows, (resamples, len(rows)))
    return drawn


def estimate(figure: Callable[[NDArray[np.intp]], float], drawn: NDArray[np.intp]) -> Estimate:
    """`figure` of all rows, and the 2.5 and 97.5 percentiles of it over the rows `drawn` (resamples, m)."""
    values = np.array([figure(rows) for rows in drawn])
    low, high = np.nanpercentile(values, [2.5, 97.5]) if np.isfinite(values).any() else (np.nan, np.nan)
    return Estimate(figure(np.arange(drawn.shape[1])), float(low), float(high))


def mean_of(figures: Doubles, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """The mean of (m,) figures; NaN ones are left out, and an estimate of nothing is NaN."""
    kept = figures[np.isfinite(figures)]
    if not len(kept):
        return Estimate(float("nan"), float("nan"), float("nan"))
    means = kept[resampled([0] * len(kept), seed, resamples)].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(kept.mean()), float(low), float(high))


def mean_and_worst(figures: Doubles, strata: Sequence[str], seed: int) -> tuple[Estimate, Estimate]:
    """Of (m,) figures, the mean over strata of each stratum's mean, and the lowest such mean: strata weigh the same."""
    kept = np.isfinite(figures)
    names, labels = np.unique(np.asarray(strata)[kept], return_inverse=True)
    values, drawn = figures[kept], resampled(labels.tolist(), seed)
    by_stratum = np.stack(
        [values[drawn[:, labels == label]].mean(axis=1) for label in range(len(names))]
    )  # (s, resamples)
    means = np.array([values[labels == label].mean() for label in range(len(names))])

    def interval(value: float, spread: Doubles) -> Estimate:
        low, high = np.percentile(spread, [2.5, 97.5])
        return Estimate(value, float(low), float(high))

    return interval(float(means.mean()), by_stratum.mean(axis=0)), interval(float(means.min()), by_stratum.min(axis=0))


def crossed(rows: Sequence[int], columns: Sequence[int], seed: int, resamples: int = RESAMPLES) -> Doubles:
    """(resamples, m) weights of m pairs of a row and a column, both being samples of what there could have been: how often
    the pair's row was drawn times how often its column was (the pigeonhole bootstrap: Owen, 2007).
    """
    random = np.random.default_rng(seed)
    weights = np.ones((resamples, len(rows)))
    for labels in (np.asarray(rows), np.asarray(columns)):
        size = int(labels.max()) + 1
        weights *= random.multinomial(size, [1 / size] * size, resamples)[:, labels]
    return weights


def ratio_of(upper: Doubles, lower: Doubles, weights: Doubles) -> Estimate:
    """Σ upper / Σ lower of (m,) figures each, and its interval under `weights` (resamples, m); NaN where the divisor is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (weights @ upper) / (weights @ lower)
        value = float(upper.sum() / lower.sum())
    known = ratios[np.isfinite(ratios)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return Estimate(value, float(low), float(high))
