"""How well the top of a list follows a request.

A(L) = Σ w_j a_j / Σ w_j over the first k places j = 1..k, with w_j = 1 / log2(j + 1), the discount of nDCG (Järvelin
and Kekäläinen, TOIS 2002), and a the calibrated alignment of an item with the request, in 0..1.
gain = (A(fused) - A(base)) / (A(best) - A(base)), `best` being the best order of the same list.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranker.events import Adherence
from ranker.ragged import Order, Spans

TOP = 10
NO_HEADROOM = 0.02
"""Below this A(best) - A(base) the list leaves nothing to gain, and a gain would be a ratio of noise."""

ROUNDED = 10_000
"""Parts of one to which figures are rounded as they are sent."""
_PLACES = np.arange(TOP)[:, None]
_DISCOUNTS = 1 / np.log2(_PLACES + 2)
_SHARES = np.where(np.arange(TOP + 1) > _PLACES, _DISCOUNTS, 0) / np.maximum(1, np.cumsum([0, *_DISCOUNTS[:, 0]]))
_SHARES = _SHARES.astype(np.float32)
"""(TOP, TOP + 1): what each place counts, by the length of the list."""


class Figures(NamedTuple):
    """The adherence of each list of a run, (lists,) each."""

    base: NDArray[np.float32]
    fused: NDArray[np.float32]
    best: NDArray[np.float32]
    kept: NDArray[np.intp]
    """How many of the base top are still in the fused top."""

    def columns(self) -> tuple[NDArray[np.float64], ...]:
        """The fields of `structs`, (lists,) each, to the bit; NaN where there is no gain."""
        base, fused, best = (figure.astype(np.float64) for figure in self[:3])
        headroom = best - base
        with np.errstate(all="ignore"):
            gain = np.where(headroom >= NO_HEADROOM, (fused - base) / headroom, np.nan)
            scaled = gain * ROUNDED
            # A float32 times 10^4 is exact. Of others, those near a tie may lie on either side of it.
            near = np.abs(scaled - np.floor(scaled) - 0.5) < 1e-6
        rounded = np.rint(scaled) / ROUNDED
        for place in np.flatnonzero(near).tolist():
            rounded[place] = round(float(gain[place]), 4)
        return (*(np.rint(each * ROUNDED) / ROUNDED for each in (base, fused, best)), rounded, self.kept / TOP)

    def structs(self) -> list[Adherence]:
        """One for each list, rounded as they are sent."""
        return list(map(_adherence, *(figure.tolist() for figure in self)))


def adherence(
    similarity: NDArray[np.float32],
    order: Order,
    by_score: Order,
    slopes: Sequence[float],
    intercept: float,
    spans: Spans,
) -> Figures:
    """Of the fused `order` (size,) of each list of a run; everything is in base order, and `by_score` (size,) is
    `order` at its best.

    a = 1 / (1 + exp(-(slope · similarity + intercept))), and 0 where `similarity` (size,) is -inf: nothing is known of
    that item. `slopes` has one for each list.
    """
    tops = _tops(order, by_score, spans)
    scores = similarity[tops]
    alignment = 1 / (1 + np.exp(scores * -np.array(slopes, np.float32) - np.float32(intercept)))
    alignment[scores == -np.inf] = 0
    return _figures(alignment, tops[1], spans)


def judged_adherence(judgment: NDArray[np.float32], order: Order) -> Adherence:
    """The same of one list by a judge: `judgment` (n,) in 0..1 and `order` (n,) are in base order."""
    spans = Spans([len(order)])
    tops = _tops(order, spans.descending(judgment), spans)
    return _figures(judgment[tops], tops[1], spans).structs()[0]


def _tops(order: Order, by_score: Order, spans: Spans) -> Order:
    """The first places of the base order, the fused one and the best one: (3, TOP, lists), the last place repeated."""
    tops = _PLACES + np.array(spans.starts)
    if min(spans.lengths) < TOP:
        tops = np.minimum(tops, np.array(spans.ends) - 1)
    return np.array((tops, order[tops], by_score[tops]))


def _figures(alignment: NDArray[np.float32], fused_tops: Order, spans: Spans) -> Figures:
    """`alignment` is (3, TOP, lists), as `_tops` is; `fused_tops` (TOP, lists) is the second of them."""
    weighted = alignment * _SHARES[:, [min(TOP, length) for length in spans.lengths]]
    # Added up place after place: the way in which `sum` adds depends on the shape, and so on how many lists there are.
    base, fused, best = np.add.accumulate(weighted, 1)[:, -1]  # (lists,) each
    kept = np.add.reduce(fused_tops < np.array(spans.starts) + TOP, 0, np.intp)
    return Figures(base, fused, best, kept)


def _adherence(base: float, fused: float, best: float, kept: int) -> Adherence:
    headroom = best - base
    gain = round((fused - base) / headroom, 4) if headroom >= NO_HEADROOM else None
    return Adherence(round(base, 4), round(fused, 4), round(best, 4), gain, kept / TOP)


def kendall_tau(left: NDArray[np.intp], right: NDArray[np.intp]) -> float:
    """Kendall's τ of two rankings without ties, (n,) ranks each, in -1..1; 1.0 for fewer than two items."""
    n = len(left)
    if n < 2:
        return 1.0
    # (n, n) signs; the diagonal is 0 and every pair counts twice.
    agree = np.sign(left[:, None] - left) * np.sign(right[:, None] - right)
    return float(agree.sum() / (n * (n - 1)))
