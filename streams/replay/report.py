"""The report of a replay, as data: what `report.json` holds and `report.md` shows."""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from ranker import __version__
from streams.replay.figures import COLUMNS
from streams.replay.plan import Outcome
from streams.replay.segments import Feed
from streams.replay.totals import BETWEEN, DIFFERENCES, RATIOS, Estimate, Totals

SHOWN = 10
"""Items and users of each list of them."""


class ItemShift(Struct, frozen=True):
    """An item under one variant."""

    item_id: str
    title: str
    lists: int
    shift: Estimate
    """Mean places better than in the platform's order; `users` are ten groups of them, or fewer."""
    entered: int
    """Lists into whose top it came."""
    left: int


class UserChange(Struct, frozen=True):
    """A user under one variant; means over their lists."""

    user_id: str
    lists: int
    overlap: Estimate
    """With an interval over the user's lists."""
    rho: float
    gain: float | None


class VariantReport(Struct, frozen=True):
    """One variant, each figure with its 95 % interval over users."""

    name: str
    weight: float | None
    fusion: str
    bundle: str
    degraded: dict[str, int]
    figures: dict[str, Estimate]
    promoted: list[ItemShift]
    demoted: list[ItemShift]
    users: list[UserChange]
    feeds: list[Feed]


class PairReport(Struct, frozen=True):
    """Two variants: `differences` are the second's figures less the first's."""

    one: str
    other: str
    overlap: Estimate
    rho: Estimate
    differences: dict[str, Estimate]


class Checked(Struct, frozen=True):
    """The first variant's rankings beside the recorded ones."""

    same: int
    different: int
    not_recorded: int
    some_different: list[str]


class Report(Struct, frozen=True):
    """All of it."""

    version: str
    log: str
    """As it was named."""
    lists: int
    ranked: int
    users: int
    events: dict[str, int]
    bad: dict[str, int]
    known: dict[str, int]
    eta: float
    """Of the propensities of `engagement`."""
    checked: Checked | None
    variants: list[VariantReport]
    pairs: list[PairReport]
    titles: dict[str, str]
    """Of the items in the feeds."""


def report(outcome: Outcome, totals: Totals, titles: Mapping[str, str]) -> Report:
    """`titles` by item id, as far as they are known."""
    plan = outcome.plan
    names = [*RATIOS, *DIFFERENCES]
    if not outcome.known["clicks"]:
        names = [name for name in names if "click" not in name]
    between = [name for name in BETWEEN if name in names]
    made = [
        VariantReport(
            variant.name, variant.weight, variant.fusion, "pinned" if plan.pin else plan.versions[variant.bundle],
            totals.degraded[number], {name: totals.estimate(number, name) for name in names},
            *_items(totals, number, titles), _users(totals, number), totals.feeds[number],
        )
        for number, variant in enumerate(plan.variants)
    ]  # fmt: skip
    pairs = [
        PairReport(
            made[one].name, made[other].name, totals.alike(number, "overlap"), totals.alike(number, "rho"),
            {name: totals.difference(other, one, name) for name in between},
        )
        for number, (one, other) in enumerate(totals.pairs)
    ]  # fmt: skip
    shown = {item_id for feeds in totals.feeds for feed in feeds for item_id in (*feed.before, *feed.after)}
    checked = _checked(totals) if plan.check else None
    return Report(
        __version__, outcome.log, totals.lists, totals.ranked, len(totals.users), totals.events, totals.bad,
        outcome.known, plan.eta, checked, made, pairs,
        {item_id: titles[item_id] for item_id in sorted(shown) if item_id in titles},
    )  # fmt: skip


def _checked(totals: Totals) -> Checked:
    same, different, missing = totals.checked
    return Checked(same, different, missing, totals.different)


def _items(totals: Totals, variant: int, titles: Mapping[str, str]) -> tuple[list[ItemShift], list[ItemShift]]:
    """Those that came into most tops and those that left most, on balance; then by their mean shift."""
    lists, places_up = totals.moves[variant].sum(1)  # (items,) each
    entered, left = totals.crossings[variant]
    means = places_up / np.maximum(lists, 1)
    ids = list(totals.items)
    order = np.lexsort((means, entered - left))

    def chosen(places: Sequence[int]) -> list[ItemShift]:
        return [
            ItemShift(
                ids[place], titles.get(ids[place], ""), int(lists[place]), totals.moved(variant, place),
                int(entered[place]), int(left[place]),
            )
            for place in places
        ]  # fmt: skip

    up = [place for place in order[::-1][:SHOWN].tolist() if entered[place] > left[place]]
    down = [place for place in order[:SHOWN].tolist() if entered[place] < left[place]]
    return chosen(up), chosen(down)


def _users(totals: Totals, variant: int) -> list[UserChange]:
    """Those whose tops changed most, on average over their lists."""
    sums = dict(zip(COLUMNS, totals.sums[variant].T, strict=True))
    if not totals.users:
        return []
    lists = np.maximum(sums["lists"], 1)
    ids = list(totals.users)
    changed = (sums["overlap"] < sums["lists"]) | (sums["rho"] < sums["lists"])
    order = np.lexsort((sums["rho"] / lists, sums["overlap"] / lists))
    return [
        UserChange(
            ids[place], int(sums["lists"][place]), totals.overlap(variant, place),
            float(sums["rho"][place] / lists[place]),
            float(sums["gain"][place] / sums["headroom"][place]) if sums["headroom"][place] else None,
        )
        for place in order[changed[order]][:SHOWN].tolist()
    ]  # fmt: skip
