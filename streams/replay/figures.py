"""What is said of a batch's outcome: a row of numbers for each list and variant, to be summed by user.

The top is the first ten places. Rank correlation is Spearman's: ρ = 1 - 6 Σ d² / (n (n² - 1)) over the n items of a list, and
1 for a list of one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranker.adherence import NO_HEADROOM, TOP
from ranker.ragged import Order
from streams.replay.pairs import CLUSTERS, PAIR_COLUMNS, Doubles, by_user, compare_pairs, groups_of, pairs_of
from streams.replay.variants import Answers

COLUMNS = (
    "lists",
    "steered",
    "headroom",
    "gain",
    "base",
    "fused",
    "best",
    "overlap",
    "overlap²",
    "rho",
    "clicks",
    "expected",
)
"""`steered`: 1 where a control was in force; `headroom`: 1 where it also left something to gain, and then `gain`;
alignments `base`, `fused`, `best` of the steered; overlap and ρ with the platform's order, of all; see `engagement` for
the rest."""
GROUPS = 10
"""Of users: what is kept of each item is kept by group, for an interval (see `totals`)."""


class Compared(NamedTuple):
    """One batch."""

    rows: Doubles
    """(variants, lists, COLUMNS)."""
    pairs: Doubles
    """(pairs, lists, PAIR_COLUMNS)."""
    places: list[Order]
    """Of each variant: the fused place of every entry, in base order, from 0 in each list: (size,)."""
    tops: list[Order]
    """Of each variant, the entries on the first places: (lists, TOP), -1 past the end."""


def compare(answers: Answers) -> Compared:
    """All variants with the platform's own order, and with each other."""
    spans = answers.flat.spans
    starts, lengths = np.array(spans.starts), np.array(spans.lengths)
    base = spans.positions - np.repeat(starts, lengths)
    places = [_places(ranked.order, base) for ranked in answers.ranked]
    in_top = [each < TOP for each in places]
    rows = np.zeros((len(places), len(spans), len(COLUMNS)))
    for number, ranked in enumerate(answers.ranked):
        row, steered, alignments = rows[number], ranked.steered, ranked.alignments
        room = alignments[:, 2] - alignments[:, 0]
        gains = steered & (room >= NO_HEADROOM)
        row[:, 0], row[:, 1], row[:, 2] = 1, steered, gains
        row[gains, 3] = (alignments[gains, 1] - alignments[gains, 0]) / room[gains]
        row[steered, 4:7] = alignments[steered]
        overlap, row[:, 9] = _alike(places[number], base, in_top[number], base < TOP, starts, lengths)
        row[:, 7], row[:, 8] = overlap, overlap * overlap
    tops = [_tops(ranked.order, starts, lengths) for ranked in answers.ranked]
    return Compared(rows, compare_pairs(places, spans), places, tops)


def base_tops(answers: Answers) -> Order:
    """The entries on the first places of the platform's order: (lists, TOP), -1 past the end."""
    spans = answers.flat.spans
    return _tops(spans.positions, np.array(spans.starts), np.array(spans.lengths))


def _places(order: Order, base: Order) -> Order:
    places = np.empty_like(base)
    places[order] = base
    return places


def _alike(
    one: Order, other: Order, one_top: NDArray[np.bool_], other_top: NDArray[np.bool_], starts: Order, lengths: Order
) -> tuple[Doubles, Doubles]:
    """Overlap of the tops, and ρ: (lists,) each."""
    apart = one - other
    squares = np.add.reduceat(apart * apart, starts).astype(np.float64)
    rho = 1 - 6 * squares / np.maximum(lengths * (lengths * lengths - 1), 1)
    shared = np.add.reduceat(one_top & other_top, starts, dtype=np.intp)
    return shared / np.minimum(lengths, TOP), rho


def _tops(order: Order, starts: Order, lengths: Order) -> Order:
    at = np.arange(TOP)
    inside = at < lengths[:, None]
    return np.where(inside, order[np.minimum(starts[:, None] + at, len(order) - 1)], -1)


def wider(array: Doubles, size: int, axis: int) -> Doubles:
    """With zeros behind, to a size along an axis."""
    missing = list(array.shape)
    missing[axis] = size - array.shape[axis]
    return np.concatenate([array, np.zeros(missing)], axis) if missing[axis] else array


class Sums:
    """The rows of many batches, as `Compared` has them, by user; those of pairs by group, if there are very many."""

    def __init__(self, variants: int) -> None:
        self._by_user = by_user(variants)
        self._users: list[str] = []
        self._rows = [np.zeros((variants, 0, len(COLUMNS)))]
        self._pairs = [np.zeros((len(pairs_of(variants)), 0 if self._by_user else CLUSTERS, len(PAIR_COLUMNS)))]

    def add(self, users: Sequence[str], compared: Compared) -> None:
        self._users += users
        self._rows.append(compared.rows)
        if self._by_user:
            self._pairs.append(compared.pairs)
        else:
            self._pairs[0] += _summed(compared.pairs, groups_of(users, CLUSTERS), CLUSTERS)

    def summed(self) -> tuple[list[str], Doubles, Doubles]:
        """Users in the order in which they came, (variants, users, COLUMNS) and (pairs, users or groups, PAIR_COLUMNS)."""
        place = {user: number for number, user in enumerate(dict.fromkeys(self._users))}
        at = np.fromiter(map(place.__getitem__, self._users), np.intp, len(self._users))
        sums, pairs = _summed(np.concatenate(self._rows, 1), at, len(place)), np.concatenate(self._pairs, 1)
        return list(place), sums, _summed(pairs, at, len(place)) if self._by_user else pairs


def _summed(rows: Doubles, at: Order, users: int) -> Doubles:
    sums = np.zeros((rows.shape[0], users, rows.shape[2]))
    for variant in range(rows.shape[0]):
        for column in range(rows.shape[2]):
            sums[variant, :, column] = np.bincount(at, rows[variant, :, column], users)
    return sums
