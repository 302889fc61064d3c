"""What a set of items is like, and how far two sets are apart: distributions over genres, decades, popularity and acclaim."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ranker.catalogue import Catalogue

Doubles = NDArray[np.float64]
Rows = NDArray[np.intp]
Facet = Literal["genre", "decade", "popularity", "acclaim"]
FACETS: tuple[Facet, ...] = get_args(Facet)
QUARTERS = 4


class Facts:
    """Each item of a catalogue as a distribution over the values of each facet."""

    def __init__(self, catalogue: Catalogue) -> None:
        has = catalogue.genre_matrix.astype(np.float64)
        known = ~np.isnan(catalogue.years)
        decade = np.where(known, catalogue.years // 10 * 10, 0).astype(int)
        self.decades: list[int] = sorted(set(decade[known].tolist()))
        self.shares: dict[Facet, Doubles] = {
            "genre": has / np.maximum(has.sum(axis=1, keepdims=True), 1),  # an item of two genres is half of each
            "decade": (decade[:, None] == np.array(self.decades)) * known[:, None].astype(np.float64),
            "popularity": _quarters(catalogue.popularity),
            "acclaim": _quarters(catalogue.acclaim),
        }

    def profile(self, rows: Rows, facets: Sequence[Facet]) -> list[Doubles]:
        """The mean distribution of some items, facet by facet; zeros where none of them has a value."""
        return [to_one(self.shares[facet][rows].sum(axis=0)) for facet in facets]

    def profiles(self, feeds: NDArray[np.intp], facets: Sequence[Facet]) -> list[Doubles]:
        """The same of (m, k) rows: (m, values) a facet."""
        return [to_one(self.shares[facet][feeds].sum(axis=1)) for facet in facets]


def distance(left: Sequence[Doubles], right: Sequence[Doubles]) -> Doubles:
    """The mean over facets of the Jensen-Shannon distance (Endres and Schindelin, 2003), base 2: 0 for equal profiles, 1 for
    ones with nothing in common. `left` (m, values) a facet against `right` (values,) gives (m,).
    """
    return np.asarray(np.mean([jensen_shannon(*facet) for facet in zip(left, right, strict=True)], axis=0))


def jensen_shannon(left: Doubles, right: Doubles) -> Doubles:
    """√(½ KL(p ‖ m) + ½ KL(q ‖ m)), m = ½ (p + q), along the last axis."""
    middle = (left + right) / 2
    divergence = (_entropic(left, middle) + _entropic(right, middle)) / 2
    return np.asarray(np.sqrt(np.maximum(divergence.sum(axis=-1), 0)))


def _entropic(some: Doubles, other: Doubles) -> Doubles:
    """p log2(p / q), 0 where p is."""
    safe = np.where(some > 0, some, 1)
    return np.asarray(some * np.log2(safe / np.where(some > 0, other, 1)))


def to_one(totals: Doubles) -> Doubles:
    """Totals as shares along the last axis; zeros stay zeros."""
    return np.asarray(totals / np.maximum(totals.sum(axis=-1, keepdims=True), 1e-12))


def _quarters(quantiles: NDArray[np.float32]) -> Doubles:
    place = np.minimum((quantiles * QUARTERS).astype(int), QUARTERS - 1)
    return np.asarray(np.eye(QUARTERS)[place])
