"""Every two variants' orders beside each other.

Σ d² of two orders of n items is 2 (Σ k² - p · q), k and the places p, q being 0..n-1; and of two tops, what they share is
the product of the flags. So all pairs of V variants are two products of (V, n) with itself, which are exact: of whole numbers.
"""

from collections.abc import Sequence
from itertools import combinations
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ranker.adherence import TOP
from ranker.ragged import Order, Spans

Doubles = NDArray[np.float64]

PAIR_COLUMNS = ("overlap", "rho", "lists")
MOST_BY_USER = 6
"""Of so many variants, what is said of pairs is kept by user. Of more, by one of `CLUSTERS` groups of users: there are up to
2,016 pairs, and memory must not hold those for each user."""
CLUSTERS = 100


def pairs_of(variants: int) -> list[tuple[int, int]]:
    """Each with each."""
    return list(combinations(range(variants), 2))


def by_user(variants: int) -> bool:
    """Or by group."""
    return variants <= MOST_BY_USER


def groups_of(users: Sequence[str], groups: int) -> Order:
    """The group of each user (n,), always the same one."""
    return np.fromiter((crc32(user.encode()) % groups for user in users), np.intp, len(users))


def compare_pairs(places: Sequence[Order], spans: Spans) -> Doubles:
    """(pairs, lists, PAIR_COLUMNS), of each variant's places of every entry, (size,) each."""
    pairs = np.ones((len(pairs_of(len(places))), len(spans), len(PAIR_COLUMNS)))
    if len(places) > 1:
        stacked, n = np.array(places, np.float64), np.array(spans.lengths, np.float64)
        shared = _products((stacked < TOP).astype(np.float64), spans)
        squares = (n - 1) * n * (2 * n - 1) / 3 - 2 * _products(stacked, spans)
        pairs[..., 0] = shared / np.minimum(n, TOP)
        pairs[..., 1] = 1 - 6 * squares / np.maximum(n * (n * n - 1), 1)
    return pairs


def _products(rows: Doubles, spans: Spans) -> Doubles:
    """Of every two rows over the entries of each list: (V, size) → (pairs, lists)."""
    if by_user(len(rows)):  # so few that to multiply two at a time is faster
        return np.array([np.add.reduceat(rows[one] * rows[other], spans.starts) for one, other in pairs_of(len(rows))])
    one, other = np.triu_indices(len(rows), 1)  # in the order of `pairs_of`
    return np.array([(each @ each.T)[one, other] for each in (rows[:, span] for span in spans.slices)]).T
