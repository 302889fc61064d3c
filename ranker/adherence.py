"""How well the top of a list follows a request.

A(L) = Σ w_j a_j / Σ w_j over the first k places j = 1..k, with w_j = 1 / log2(j + 1), the discount of nDCG (Järvelin
and Kekäläinen, TOIS 2002), and a the calibrated alignment of an item with the request, in 0..1.
gain = (A(fused) - A(base)) / (A(best) - A(base)), `best` being the best order of the same list.
"""

import numpy as np
from numpy.typing import NDArray

from ranker.events import Adherence
from ranker.fusion import RANKS, descending

TOP = 10
NO_HEADROOM = 0.02
"""Below this A(best) - A(base) the list leaves nothing to gain, and a gain would be a ratio of noise."""

_DISCOUNTS = 1 / np.log2(np.arange(2, TOP + 2))
_SHARES = [(_DISCOUNTS[:k] / _DISCOUNTS[: max(k, 1)].sum()).astype(np.float32) for k in range(TOP + 1)]


def adherence(
    similarity: NDArray[np.float32], order: NDArray[np.intp], by_score: NDArray[np.intp], slope: float, intercept: float
) -> Adherence:
    """Of a fused `order` (n,); everything is in base order, and `by_score` (n,) is `order` at its best.

    a = 1 / (1 + exp(-(slope · similarity + intercept))), and 0 where `similarity` (n,) is NaN: nothing is known of that
    item.
    """
    tops = _tops(order, by_score)
    alignment = 1 / (1 + np.exp(similarity[tops] * np.float32(-slope) - np.float32(intercept)))
    alignment[alignment != alignment] = 0
    return _figures(alignment, order)


def judged_adherence(judgment: NDArray[np.float32], order: NDArray[np.intp]) -> Adherence:
    """The same by a judge: `judgment` (n,) in 0..1 and `order` (n,) are in base order."""
    return _figures(judgment[_tops(order, descending(judgment))], order)


def _tops(order: NDArray[np.intp], by_score: NDArray[np.intp]) -> NDArray[np.intp]:
    """The first k places of the base order, the fused one and the best one: (3k,)."""
    k = min(TOP, len(order))
    return np.concatenate((RANKS[:k], order[:k], by_score[:k]))


def _figures(alignment: NDArray[np.float32], order: NDArray[np.intp]) -> Adherence:
    k = len(alignment) // 3
    base, fused, best = (alignment.reshape(3, k) @ _SHARES[k]).tolist()  # (3, k) @ (k,) -> (3,)
    headroom = best - base
    return Adherence(
        base=round(base, 4),
        fused=round(fused, 4),
        best=round(best, 4),
        gain=round((fused - base) / headroom, 4) if headroom >= NO_HEADROOM else None,
        overlap=int(np.count_nonzero(order[:k] < k)) / k,
    )


def kendall_tau(left: NDArray[np.intp], right: NDArray[np.intp]) -> float:
    """Kendall's τ of two rankings without ties, (n,) ranks each, in -1..1; 1.0 for fewer than two items."""
    n = len(left)
    if n < 2:
        return 1.0
    # (n, n) signs; the diagonal is 0 and every pair counts twice.
    agree = np.sign(left[:, None] - left) * np.sign(right[:, None] - right)
    return float(agree.sum() / (n * (n - 1)))
