"""From the figures of all segments to estimates with intervals over users: the lists of one user resemble each other.

Every figure is a ratio R = Σ_u y_u / Σ_u x_u over users u, as of gains and of lists with headroom. Its standard error is the
linearised one, SE² = C / (C - 1) · Σ_u (y_u - R x_u)² / (Σ_u x_u)², C users (Liang and Zeger, Biometrika 1986; for a mean it
is `streams.standarderror`'s), and that of a difference takes the difference of the two terms of each user, so that what
two variants share cancels. Of an item, sums by user would be too many to keep: it has them by G groups of users, and the
delete-a-group jackknife, SE² = (G - 1) / G · Σ_g (R without g - R)² (Kott, Journal of Official Statistics 2001). Intervals are
95 %, by Student's t with C - 1 or G - 1 degrees of freedom.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import inf, nan, sqrt
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from ranker.errors import DataError
from streams.replay.figures import COLUMNS, GROUPS, wider
from streams.replay.known import KNOWN, Known
from streams.replay.log import BadLine
from streams.replay.pairs import CLUSTERS, PAIR_COLUMNS, Doubles, by_user, pairs_of
from streams.replay.segments import Feed, Figures, Layout, most_changed
from streams.replay.variants import Variant

LEVEL = 0.95
RATIOS: Mapping[str, tuple[str, str]] = {
    "gain": ("gain", "headroom"),
    "alignment": ("fused", "steered"),
    "platform's alignment": ("base", "steered"),
    "best alignment": ("best", "steered"),
    "overlap": ("overlap", "lists"),
    "rho": ("rho", "lists"),
    "clicks": ("clicks", "lists"),
    "expected clicks": ("expected", "lists"),
}
"""Name → numerator and denominator, of `COLUMNS`."""
DIFFERENCES: Mapping[str, tuple[str, str]] = {
    "alignment change": ("alignment", "platform's alignment"),
    "click change": ("expected clicks", "clicks"),
}
"""Within a variant."""
POSSIBLE: Mapping[str, tuple[float, float]] = {"overlap": (0, 1), "rho": (-1, 1)}
"""What a figure can be at all, and so where its interval ends."""
BETWEEN = ("gain", "alignment", "expected clicks")
"""Of one variant less the other."""


class Estimate(Struct, frozen=True):
    """A mean and its 95 % interval; `low` and `high` are null for fewer than two users."""

    mean: float | None
    low: float | None
    high: float | None
    observations: int
    users: int


class Totals:
    """All segments together. Memory grows with users, items and variants, not with lists."""

    def __init__(self, variants: Sequence[Variant]) -> None:
        self.variants, self.pairs = variants, pairs_of(len(variants))
        self.users: dict[str, int] = {}
        self.items: dict[str, int] = {}
        self.sums = np.zeros((len(variants), 0, len(COLUMNS)))
        self.pair_sums = np.zeros((len(self.pairs), 0, len(PAIR_COLUMNS)))
        self.moves, self.crossings = np.zeros((len(variants), 2, GROUPS, 0)), np.zeros((len(variants), 2, 0))
        """Of each item, as `Figures` has them."""
        self.feeds: list[list[Feed]] = [[] for _ in variants]
        self.degraded: list[dict[str, int]] = [{} for _ in variants]
        self.events: dict[str, int] = {}
        self.lists = self.ranked = 0
        self.bad: dict[str, int] = {}
        self.checked, self.different = [0, 0, 0], list[str]()

    def add(self, figures: Figures) -> None:
        """One segment; in their order, for sums to be the same bits always."""
        at = _places(self.users, figures.users)
        self.sums = wider(self.sums, len(self.users), 1)
        self.sums[:, at] += _read(figures.sums, (len(self.variants), len(at), len(COLUMNS)))
        clusters = at if by_user(len(self.variants)) else list(range(CLUSTERS))
        self.pair_sums = wider(self.pair_sums, max(self.pair_sums.shape[1], *clusters, -1) + 1, 1)
        self.pair_sums[:, clusters] += _read(figures.pairs, (len(self.pairs), len(clusters), len(PAIR_COLUMNS)))
        at = _places(self.items, figures.items)
        self.moves = wider(self.moves, len(self.items), 3)
        self.moves[..., at] += _read(figures.moves, (len(self.variants), 2, GROUPS, len(at)))
        self.crossings = wider(self.crossings, len(self.items), 2)
        self.crossings[..., at] += _read(figures.crossings, (len(self.variants), 2, len(at)))
        self.lists += figures.lists
        self.ranked += figures.ranked
        _count(self.events, figures.events)
        for counts, more in zip(self.degraded, figures.degraded, strict=True):
            _count(counts, more)
        self.feeds = [most_changed([*old, *new]) for old, new in zip(self.feeds, figures.feeds, strict=True)]
        for line in figures.bad:
            self.bad[line.reason] = self.bad.get(line.reason, 0) + 1
        self.checked = [sum(both) for both in zip(self.checked, figures.checked, strict=True)]
        self.different = (self.different + figures.different)[:10]

    def estimate(self, variant: int, name: str) -> Estimate:
        """Of one of `RATIOS` or `DIFFERENCES`."""
        if name in DIFFERENCES:
            one, other = DIFFERENCES[name]
            return _estimate(_terms(self.sums[variant], one), _terms(self.sums[variant], other))
        return _within(_estimate(_terms(self.sums[variant], name)), name)

    def difference(self, one: int, other: int, name: str) -> Estimate:
        """Of one variant less another."""
        return _estimate(_terms(self.sums[one], name), _terms(self.sums[other], name))

    def moved(self, variant: int, item: int) -> Estimate:
        """Mean places by which an item, by its number, came to stand better; `users` are groups of them."""
        lists, places = self.moves[variant, :, :, item]
        return jackknifed(places, lists)

    def overlap(self, variant: int, user: int) -> Estimate:
        """Mean overlap of a user's tops, by their number, with an interval over their lists."""
        sums = dict(zip(COLUMNS, self.sums[variant, user].tolist(), strict=True))
        lists, total, squares = sums["lists"], sums["overlap"], sums["overlap²"]
        mean = total / lists
        if lists < 2:
            return Estimate(mean, None, None, int(lists), 1)
        half = _quantile(lists - 1) * sqrt(max(squares - lists * mean * mean, 0) / (lists - 1) / lists)
        return _within(Estimate(mean, mean - half, mean + half, int(lists), 1), "overlap")

    def alike(self, pair: int, column: str) -> Estimate:
        """Overlap or ρ of two variants' orders; of very many variants, `users` are groups of them."""
        over, under = (self.pair_sums[pair, :, PAIR_COLUMNS.index(each)] for each in (column, "lists"))
        return _within(_estimate(_Terms.of(over, under)), column)


class _Terms(NamedTuple):
    """A ratio, and what each user contributes to its error."""

    ratio: float
    terms: Doubles
    observations: int
    users: int

    @classmethod
    def of(cls, over: Doubles, under: Doubles) -> "_Terms":
        total, users = float(under.sum()), int(np.count_nonzero(under))
        if not total:
            return cls(nan, np.zeros_like(over), 0, 0)
        ratio = float(over.sum()) / total
        return cls(ratio, (over - ratio * under) / total, round(total), users)


def _terms(sums: Doubles, name: str) -> _Terms:
    over, under = RATIOS[name]
    return _Terms.of(sums[:, COLUMNS.index(over)], sums[:, COLUMNS.index(under)])


def _estimate(one: _Terms, less: _Terms | None = None) -> Estimate:
    """Of a ratio, or of the difference of two."""
    users, observations = one.users, one.observations
    mean, terms = one.ratio, one.terms
    if less is not None:
        users, observations = min(users, less.users), min(observations, less.observations)
        mean, terms = mean - less.ratio, terms - less.terms
    if not observations:
        return Estimate(None, None, None, 0, 0)
    if users < 2:
        return Estimate(mean, None, None, observations, users)
    half = _quantile(users - 1) * sqrt(users / (users - 1) * float(np.square(terms).sum()))
    return Estimate(mean, mean - half, mean + half, observations, users)


def _within(estimate: Estimate, name: str) -> Estimate:
    least, most = POSSIBLE.get(name, (-inf, inf))
    if estimate.low is None or estimate.high is None:
        return estimate
    return msgspec.structs.replace(estimate, low=max(least, estimate.low), high=min(most, estimate.high))


def jackknifed(over: Doubles, under: Doubles) -> Estimate:
    """Of Σ over / Σ under, (G,) each; a group with nothing in it counts for none."""
    over, under = over[under > 0], under[under > 0]
    groups, mean = len(under), float(over.sum() / under.sum())
    if groups < 2:
        return Estimate(mean, None, None, int(under.sum()), groups)
    without = (over.sum() - over) / (under.sum() - under)
    half = _quantile(groups - 1) * sqrt((groups - 1) / groups * float(np.square(without - mean).sum()))
    return Estimate(mean, mean - half, mean + half, int(under.sum()), groups)


def _quantile(freedom: float) -> float:
    """Of Student's t, for a two-sided interval."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def read_totals(layout: Layout, segments: Sequence[int], variants: Sequence[Variant]) -> Totals:
    """Raises DataError for a damaged file."""
    totals = Totals(variants)
    for segment in segments:
        totals.add(read_figures(layout, segment))
    return totals


def read_figures(layout: Layout, segment: int) -> Figures:
    """Of one segment. Raises DataError."""
    file = layout.figures(segment)
    try:
        return msgspec.msgpack.decode(file.read_bytes(), type=Figures)
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"{file} cannot be read ({error}): remove it, and the same command writes it again") from error


def bad_lines(layout: Layout, segments: Sequence[int]) -> Iterator[BadLine]:
    """Of clicks and rankings first, then of what is replayed, those of one segment in memory at a time."""
    if (file := layout.segments / KNOWN).exists():
        known = Known(file)
        try:
            yield from known.bad()
        finally:
            known.close()
    for segment in segments:
        yield from read_figures(layout, segment).bad


def _places(known: dict[str, int], names: Sequence[str]) -> list[int]:
    return [known.setdefault(name, len(known)) for name in names]


def _read(content: bytes, shape: tuple[int, ...]) -> Doubles:
    return np.frombuffer(content, "<f8").reshape(shape)


def _count(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for name, number in more.items():
        counts[name] = counts.get(name, 0) + number
