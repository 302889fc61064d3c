"""How unlike what a bundle was made with the texts are that it reads now.

A request's p-value is conformal (Vovk, Gammerman, Shafer 2005): p = (1 + #{calibration distances >= d}) / (n + 1), the
calibration being requests in dev phrasings that nothing was fitted to. So a share of 0.05 of such requests has p <= 0.05,
whatever the distance is; the distance decides what else has. It is d = 1 - min(p_pieces, p_vector), after two others:

- pieces: (word pieces + 5) / (characters + 20), how finely the tokenizer has to cut, drawn towards the usual 1 in 4 for
  short texts. Only of the request's own words: a reader's taste beside them is ours. What has no piece counts one a character.
- vector: Mahalanobis' distance from the mean over the first `AXES` principal axes, the rest as one of mean variance.

The vector alone does not do. A tower maps whatever it reads to where requests are: of 200 lines of gibberish none were
farther than the 5 % of requests that are farthest, by nearest neighbour (1 or 5), 14 % by Mahalanobis. By pieces all were,
and 4 % of the unusual phrasings held out; with both also two thirds of texts about other things and in other languages.

Of drift, three quantiles speak, each uniform in 0..1 while nothing drifts: of the dot product with the mean's direction,
and of the places on the first two principal axes, among what was seen when the bundle was made.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ranker.errors import BundleError
from ranker.vectors import Floats

OOD = 0.05
"""Up to this p-value a request counts as unlike those that the towers were made with."""
AXES, KNOTS = 64, 101
PROJECTIONS = ("centroid", "pc1", "pc2")
_PRIOR_PIECES, _PRIOR_CHARACTERS = 5.0, 20.0

Cut = Callable[[str], tuple[int, int]]
"""The word pieces of a text and the characters that they cover, as `Tower.pieces` counts them."""


class Reference(Struct, frozen=True):
    """What one tower's vectors were like when the bundle was made."""

    mean: bytes
    """(d,) float32, little-endian; base64 in JSON."""
    axes: bytes
    """(k, d) float32: orthonormal, in descending order of variance, two at least."""
    knots: list[list[float]]
    """Of each of `PROJECTIONS`, ascending quantiles at equal steps from 0 to 1."""


class RequestReference(Reference, frozen=True):
    """The same of the request tower, with what p-values need. The three lists of n distances are ascending."""

    variances: list[float]
    """(k,) along the axes."""
    rest: float
    """Mean variance along all other axes; 0 where there are none."""
    pieces: list[float]
    vector: list[float]
    both: list[float]


class References(Struct, frozen=True):
    """Part of a bundle's calibration."""

    request: RequestReference
    item: Reference


class Familiarity(NamedTuple):
    """Of one request: its p-value, and its quantiles, one for each of `PROJECTIONS`."""

    pvalue: float
    quantiles: tuple[float, ...]

    @property
    def ood(self) -> bool:
        return self.pvalue <= OOD


class Projections:
    """Where a vector lies among those of the bundle's making."""

    def __init__(self, reference: Reference, dimension: int) -> None:
        """Raises BundleError where the reference is of another dimension."""
        self.mean = np.frombuffer(reference.mean, "<f4")
        axes = np.frombuffer(reference.axes, "<f4")
        if self.mean.shape != (dimension,) or axes.size < 2 * dimension or axes.size % dimension:
            raise BundleError(f"calibration.json holds no reference for vectors of {dimension} dimensions")
        self.axes = axes.reshape(-1, dimension)  # (k, d)
        self._direction = self.mean / max(float(np.linalg.norm(self.mean)), 1e-12)
        self._knots = [np.array(knots) for knots in reference.knots]
        self._steps = np.linspace(0, 1, len(self._knots[0]))

    def values(self, vector: Floats) -> tuple[float, ...]:
        """The projections of a unit vector (d,), in the order of `PROJECTIONS`."""
        first = self.axes[:2] @ (vector - self.mean)  # (2, d) @ (d,) -> (2,)
        return float(self._direction @ vector), float(first[0]), float(first[1])

    def quantiles(self, vector: Floats) -> tuple[float, ...]:
        """Of a unit vector (d,)."""
        places = zip(self.values(vector), self._knots, strict=True)
        return tuple(float(np.interp(value, knots, self._steps)) for value, knots in places)


class Requests:
    """Tells how familiar requests are. Safe to use from several threads."""

    def __init__(self, reference: RequestReference, dimension: int, cut: Cut) -> None:
        """Raises BundleError where the reference is of another dimension."""
        self._cut, self._projections = cut, Projections(reference, dimension)
        self._variances, self._rest = np.array(reference.variances), reference.rest
        self._pieces, self._vector = np.array(reference.pieces), np.array(reference.vector)
        self._both = np.array(reference.both)

    def __call__(self, text: str, vector: Floats) -> Familiarity:
        """Of the request's own words and of the unit vector (d,) that the tower made of them, and of a context perhaps."""
        p_pieces = pvalue(self._pieces, fragmentation(*self._cut(text)))
        shift = vector - self._projections.mean
        p_vector = pvalue(self._vector, mahalanobis(shift, self._projections.axes, self._variances, self._rest))
        return Familiarity(pvalue(self._both, 1 - min(p_pieces, p_vector)), self._projections.quantiles(vector))


def pvalue(calibration: NDArray[np.float64], distance: float) -> float:
    """(1 + #{calibration distances >= distance}) / (n + 1); `calibration` (n,) is ascending."""
    n = len(calibration)
    return float(1 + n - np.searchsorted(calibration, distance, "left")) / (n + 1)


def fragmentation(pieces: int, characters: int) -> float:
    """Word pieces a character, drawn towards the usual for short texts."""
    return (pieces + _PRIOR_PIECES) / (characters + _PRIOR_CHARACTERS)


def mahalanobis(shift: Floats, axes: Floats, variances: NDArray[np.float64], rest: float) -> float:
    """Squared distance of `shift` (d,) from the mean, by `axes` (k, d) with `variances` (k,), and `rest` along all others."""
    places = (axes @ shift).astype(np.float64)  # (k, d) @ (d,) -> (k,)
    squares = places**2
    left = max(0.0, float(shift.astype(np.float64) @ shift) - float(squares.sum()))
    return float((squares / variances).sum()) + (left / rest if rest > 0 else 0.0)


def knots(values: Sequence[float]) -> list[float]:
    """Ascending quantiles of some values, at equal steps from 0 to 1."""
    return [round(float(value), 7) for value in np.quantile(values, np.linspace(0, 1, KNOTS))]
