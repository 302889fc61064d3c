"""What the requests and the items of today are like, for `ranker.familiarity` to compare those of tomorrow with.

One half of the calibration requests, in dev phrasings, gives mean and axes; the other half, to which nothing is fitted,
gives the distances that p-values count, and the quantiles. Quantiles are of familiar requests: others are counted as such.
"""

from collections.abc import Callable, Sequence

import numpy as np

from exporters.probes import Asked
from ranker.familiarity import (
    AXES,
    OOD,
    Projections,
    Reference,
    References,
    RequestReference,
    fragmentation,
    knots,
    mahalanobis,
    pvalue,
)
from ranker.requesttext import request_text
from ranker.towers import Tower
from ranker.vectors import Floats

EACH = 100
"""Calibration requests of each category; half of the total is n."""
TOLD = 0.5
"""Share of those not about a reader's taste beside which it stands all the same."""
_NO_KNOTS = [[0.0, 1.0]] * 3


def references(
    tower: Tower,
    requests: Sequence[Asked],
    items: Floats,
    *,
    workers: int = 1,
    progress: Callable[[int], object] | None = None,
) -> References:
    """The references of a bundle: `requests` are embedded with its request `tower`, `items` (n, d) are its items'."""
    texts = [request_text(each.text, each.context) for each in requests]
    vectors = tower.embed_all(texts, progress, workers=workers)
    cuts = [fragmentation(*tower.pieces(each.text)) for each in requests]
    return References(_requests(vectors, cuts), _items(items))


def _requests(vectors: Floats, cuts: Sequence[float]) -> RequestReference:
    fitted, held = vectors[::2], vectors[1::2]
    mean, axes, variances, rest = _axes(fitted, AXES)
    pieces = np.array(cuts[1::2])
    distances = np.array([mahalanobis(vector - mean, axes, variances, rest) for vector in held])
    pieces_up, distances_up = np.sort(pieces), np.sort(distances)
    pairs = zip(pieces, distances, strict=True)
    # A request's own distance is one of the n that it is compared with, so that it ranks among n as a new one among n + 1.
    both = np.array([1 + 1 / (len(held) + 1) - min(pvalue(pieces_up, p), pvalue(distances_up, d)) for p, d in pairs])
    both_up = np.sort(both)
    familiar = [vector for vector, one in zip(held, both, strict=True) if pvalue(both_up, one) > OOD]
    return RequestReference(
        mean=mean.astype("<f4").tobytes(),
        axes=axes.astype("<f4").tobytes(),
        knots=_knots(mean, axes, familiar),
        variances=variances.tolist(),
        rest=rest,
        pieces=pieces_up.tolist(),
        vector=distances_up.tolist(),
        both=both_up.tolist(),
    )


def _items(vectors: Floats) -> Reference:
    mean, axes, _, _ = _axes(vectors, 2)
    return Reference(mean.astype("<f4").tobytes(), axes.astype("<f4").tobytes(), _knots(mean, axes, vectors))


def _axes(vectors: Floats, most: int) -> "tuple[Floats, Floats, np.ndarray[tuple[int], np.dtype[np.float64]], float]":
    """Mean (d,), principal axes (k, d), variances along them (k,), and the mean variance along all others."""
    mean = vectors.mean(axis=0)
    _, lengths, axes = np.linalg.svd(vectors - mean, full_matrices=False)  # (n, d) -> (m,), (m, d)
    variances = lengths.astype(np.float64) ** 2 / len(vectors)
    kept = max(2, min(most, int((variances > 1e-6 * variances[0]).sum())))
    others = vectors.shape[1] - kept
    rest = float(variances[kept:].sum()) / others if others else 0.0
    return mean, axes[:kept], np.maximum(variances[:kept], 1e-12), rest


def _knots(mean: Floats, axes: Floats, vectors: Sequence[Floats] | Floats) -> list[list[float]]:
    plain = Reference(mean.astype("<f4").tobytes(), axes.astype("<f4").tobytes(), _NO_KNOTS)
    projections = Projections(plain, len(mean))
    return [knots(values) for values in zip(*map(projections.values, vectors), strict=True)]
