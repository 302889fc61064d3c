"""Segments: so many lists in a row. Each is written once, whole or not at all, by whichever process it falls to.

OUT/rankings/VARIANT/part-00012.parquet    the rankings
OUT/segments/00012.msgpack                 what is said of them; written last: a segment is done when this is there
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from ranker.adherence import TOP
from ranker.errors import BadEvent
from streams.replay.engagement import Clicked, estimate
from streams.replay.figures import GROUPS, Sums, base_tops, compare, wider
from streams.replay.log import BadLine, Spot, bad_line
from streams.replay.pairs import groups_of
from streams.replay.parts import Format, part, write
from streams.replay.state import Codes
from streams.replay.variants import Answers, Variant

LISTS = 16_384
"""In a segment. Its figures are held in memory until it is done."""
FEEDS = 10
"""Feeds that are shown of each variant, and kept of each segment."""


class Feed(Struct, frozen=True):
    """One list before and after."""

    event_id: str
    user_id: str
    request: str
    weight: float
    overlap: float
    rho: float
    before: list[str]
    """The top, in the platform's order."""
    after: list[str]


class Figures(Struct, frozen=True, kw_only=True):
    """What a segment amounts to. Arrays are float64, little-endian."""

    lists: int
    """As many as begin in it, bad ones included."""
    ranked: int
    events: dict[str, int]
    """Requests and items, by topic."""
    degraded: list[dict[str, int]]
    """Of each variant, rankings by why they are less than what was asked for."""
    users: list[str]
    sums: bytes
    """(variants, users, COLUMNS)."""
    pairs: bytes
    """(pairs, users or groups of them, PAIR_COLUMNS)."""
    items: list[str]
    moves: bytes
    """(variants, 2, GROUPS, items): in how many lists of a group of users, and by how many places better in all."""
    crossings: bytes
    """(variants, 2, items): how often into the top, and out of it."""
    feeds: list[list[Feed]]
    bad: list[BadLine]
    checked: list[int]
    """Rankings that are as they were recorded, that differ, and that were not recorded."""
    different: list[str]
    """Event ids of some that differ."""


class Layout(NamedTuple):
    """Where things lie under OUT."""

    out: Path
    format: Format

    @property
    def segments(self) -> Path:
        return self.out / "segments"

    def figures(self, segment: int) -> Path:
        return self.segments / f"{segment:05d}.msgpack"

    def part(self, variant: Variant, segment: int) -> Path:
        return self.out / "rankings" / variant.name / f"part-{segment:05d}.{self.format}"

    def done(self) -> set[int]:
        """The segments that need not be ranked again."""
        return {int(file.stem) for file in self.segments.glob("*.msgpack")}


class Segment:
    """One segment, on its way."""

    def __init__(self, number: int, layout: Layout, variants: Sequence[Variant]) -> None:
        self.number, self._layout, self._variants = number, layout, variants
        self.codes = Codes()
        self.events, self.lists, self._ranked = Counter[str](), 0, 0
        self._parts = [part(layout.part(variant, number), layout.format, self.codes) for variant in variants]
        self._degraded = [Counter[str]() for _ in variants]
        self._sums = Sums(len(variants))
        self._moves, self._crossings = np.zeros((len(variants), 2, GROUPS, 0)), np.zeros((len(variants), 2, 0))
        self._feeds = [list[Feed]() for _ in variants]
        self._bad: list[tuple[int, BadLine]] = []
        self.checked, self.different = [0, 0, 0], list[str]()

    def bad(self, at: Spot, error: BadEvent) -> None:
        """In whatever order: a list is found out later than what stands behind it."""
        self._bad.append((at.order, bad_line(at.where, error)))

    def add(self, answers: Answers, clicks: dict[str, list[Clicked]], eta: float, spots: Sequence[Spot]) -> None:
        """A batch; `spots` says where its lists lie: clicks that make no sense are listed beside theirs."""
        flat = answers.flat
        compared = compare(answers)
        if clicks:
            for number, click, error in estimate(answers, compared, clicks, eta):
                self.bad(Spot(spots[number].order, click.where), error)
        self._ranked += len(flat.run)
        users = [asked.candidates.user_id for asked in flat.run]
        self._sums.add(users, compared)
        items = len(self.codes)
        self._moves, self._crossings = wider(self._moves, items, 3), wider(self._crossings, items, 2)
        by_group = flat.numbers + np.repeat(groups_of(users, GROUPS) * items, flat.spans.lengths)
        tops = base_tops(answers)
        base_places = flat.spans.positions - np.repeat(flat.spans.starts, flat.spans.lengths)
        was = base_places < TOP
        for number, (ranked, batch, each) in enumerate(zip(answers.ranked, answers.batches, self._parts, strict=True)):
            each.add(batch)
            self._degraded[number].update(why for why in ranked.whys if why)
            places = compared.places[number]
            now = places < TOP
            for row, counted in enumerate((None, base_places - places)):
                counts = np.bincount(by_group, counted, GROUPS * items)
                self._moves[number, row] += counts.reshape(GROUPS, items)
            for row, crossed in enumerate((now & ~was, was & ~now)):
                self._crossings[number, row] += np.bincount(flat.numbers[crossed], None, items)
            self._keep_feeds(number, answers, compared.rows[number, :, [7, 9]].T, tops, compared.tops[number])

    def _keep_feeds(
        self, variant: int, answers: Answers, alike: np.ndarray, tops: np.ndarray, after: np.ndarray
    ) -> None:
        """The lists that changed most: the smallest overlap, then the lowest ρ, then the first; one of each user."""
        kept = self._feeds[variant]
        overlap, rho = alike.T
        bar = (kept[-1].overlap, kept[-1].rho) if len(kept) == FEEDS else (1.0, 1.0)
        better = (overlap < bar[0]) | ((overlap == bar[0]) & (rho < bar[1]))
        if not better.any():
            return
        flat = answers.flat
        candidates = better.nonzero()[0]
        seen = set[str]()
        for number in candidates[np.lexsort((rho[candidates], overlap[candidates]))].tolist():
            asked = flat.run[number].candidates
            if asked.user_id in seen:
                continue
            if len(seen) == FEEDS:
                break
            seen.add(asked.user_id)
            ids = [
                [flat.ids[flat.base[entry]] for entry in top[number].tolist() if entry >= 0] for top in (tops, after)
            ]
            kept.append(
                Feed(
                    asked.event_id, asked.user_id, answers.texts[number], answers.ranked[variant].weights[number],
                    float(overlap[number]), float(rho[number]), *ids,
                )
            )  # fmt: skip
        self._feeds[variant] = most_changed(kept)

    def close(self) -> None:
        """Write it. Raises DataError."""
        for each in self._parts:
            each.close()
        users, sums, pairs = self._sums.summed()
        figures = Figures(
            lists=self.lists,
            ranked=self._ranked,
            events=dict(self.events),
            degraded=[dict(sorted(each.items())) for each in self._degraded],
            users=users,
            sums=sums.astype("<f8").tobytes(),
            pairs=pairs.astype("<f8").tobytes(),
            items=list(self.codes)[: self._crossings.shape[-1]],
            moves=self._moves.astype("<f8").tobytes(),
            crossings=self._crossings.astype("<f8").tobytes(),
            feeds=self._feeds,
            bad=[line for _, line in sorted(self._bad, key=lambda each: each[0])],
            checked=self.checked,
            different=self.different,
        )
        write(self._layout.figures(self.number), msgspec.msgpack.encode(figures))


def most_changed(feeds: Sequence[Feed]) -> list[Feed]:
    """One of each user, and `FEEDS` in all. Sorting keeps the order of those that changed alike."""
    seen: dict[str, Feed] = {}
    for feed in sorted(feeds, key=lambda feed: (feed.overlap, feed.rho)):
        seen.setdefault(feed.user_id, feed)
    return list(seen.values())[:FEEDS]
