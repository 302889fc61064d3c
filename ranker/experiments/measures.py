"""How near one list of scores is to another; each figure is of one request over (n,) items, NaN where it says nothing."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ranker.evaluate import FEWEST, auc

Doubles = NDArray[np.float64]
Numbers = NDArray[np.float32] | Doubles
TOP = 10
BINS = 10


def ranking_auc(scores: Numbers, judged: Numbers, threshold: float = 0.5) -> float:
    """The chance that an item judged `threshold` or more scores above another; NaN with fewer than three of either."""
    relevant = judged >= threshold
    if not FEWEST <= relevant.sum() <= len(relevant) - FEWEST:
        return float("nan")
    return auc(np.asarray(scores, np.float32), relevant)


def spearman(left: Numbers, right: Numbers) -> float:
    """Spearman's ρ: Pearson's r of the ranks, ties sharing their mean rank; NaN where one side is constant."""
    ranks = [rankdata(side) for side in (left, right)]
    first, second = (side - side.mean() for side in ranks)
    scale = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / scale if scale else float("nan")


def mean_squared_error(alignment: Numbers, judged: Numbers, weights: Numbers) -> float:
    """Σ w (a - v)² / Σ w of two scores in 0..1; a Brier score where the judge knows only yes and no."""
    return float(np.average(np.square(alignment.astype(np.float64) - judged), weights=weights))


def ndcg(scores: Numbers, gains: Numbers, top: int = TOP) -> float:
    """nDCG with linear gains (Järvelin and Kekäläinen, TOIS 2002): Σ g_j / log2(j + 1) over the best by score, divided by
    the same over the best by gain; ties go to the earlier item; NaN where nothing is to be gained.
    """
    places, ordered = min(top, len(gains)), np.asarray(gains, np.float64)
    best = discounted(np.sort(ordered)[::-1][:places], places)
    return discounted(ordered[np.argsort(-scores, kind="stable")[:places]], places) / best if best else float("nan")


class Reliability(NamedTuple):
    """A reliability diagram: (bins,) each, of the pairs whose alignment falls into a bin of equal width; NaN if none do."""

    alignment: Doubles
    """Mean alignment that was claimed."""
    relevant: Doubles
    """Weighted share that the judge finds relevant."""
    share: Doubles
    """How much of all weight lies in the bin; adds up to 1."""

    @property
    def error(self) -> float:
        """Expected calibration error: Σ share · |alignment - relevant|."""
        return float(np.nansum(self.share * np.abs(self.alignment - self.relevant)))


def reliability(alignment: Numbers, relevant: NDArray[np.bool_], weights: Numbers, bins: int = BINS) -> Reliability:
    """(m,) claimed alignments, which of them are relevant, and how much each counts."""
    place = np.minimum((alignment * bins).astype(int), bins - 1)
    total = np.bincount(place, weights, bins)
    with np.errstate(invalid="ignore"):
        claimed = np.bincount(place, weights * alignment, bins) / total
        found = np.bincount(place, weights * relevant, bins) / total
    return Reliability(claimed, found, total / total.sum())


def balanced(relevant: NDArray[np.bool_]) -> Doubles:
    """(m, n) weights under which the relevant and the other items of each of m requests count the same: as calibration is
    fitted, since most requests fit few items and refusals nearly all."""
    yes = relevant.sum(axis=1, keepdims=True)
    no = relevant.shape[1] - yes
    weights: Doubles = np.where(relevant, 0.5 / np.maximum(yes, 1), 0.5 / np.maximum(no, 1))
    return weights


def discounted(figures: Doubles, places: int) -> float:
    """Σ w_j f_j / Σ w_j, w_j = 1 / log2(j + 1), over the first `places` places of a feed, empty ones counting 0: the adherence
    of `ranker.adherence` where f are alignments, and a part of nDCG where they are gains.
    """
    discounts = 1 / np.log2(np.arange(2, places + 2))
    return float(figures @ discounts[: len(figures)] / discounts.sum())
