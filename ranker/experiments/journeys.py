"""One user on the way to one target: every try that filters and words allow, and how near the best of them comes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranker.experiments.feeds import Pool, judged_feed, steered
from ranker.experiments.profiles import Doubles, Facts, distance
from ranker.experiments.subject import Subject
from ranker.experiments.targets import FEED, Offers, Target, all_filters, all_requests, passing
from ranker.fusion import Method
from ranker.judges.rule import RELEVANT, RuleJudge
from ranker.requests import Grammar, Spec
from ranker.vectors import Quantized

PERFECT, ALL = "words, understood perfectly", "best of all filters"


class Journey(NamedTuple):
    """One user, one target: distances to the target's held-out part."""

    user: str
    target: Target
    before: float
    attainable: float
    """Of the target's own known items."""
    after: dict[str, Doubles]
    """Method to (k,) distance after the best of 1..k tries; of ALL only the last."""


class Options:
    """All that can be tried, and which items each option means."""

    def __init__(self, grammar: Grammar, judge: RuleJudge, facts: Facts) -> None:
        self.judge, self.facts = judge, facts
        self.filters, self.specs = all_filters(facts), all_requests(grammar)
        self.passing = np.stack([passing(facts, each) for each in self.filters])  # (filters, n)
        meant = np.stack([judge.scores(spec) >= RELEVANT for spec in self.specs])  # (specs, n)
        self.filters_offered, self.specs_offered = Offers(facts, self.passing), Offers(facts, meant)

    def filtered(self, pool: Pool) -> NDArray[np.intp]:
        """(filters, FEED) what each filter shows: what passes, in base order, then, where that is too little, the rest."""
        passes = self.passing[:, pool.rows]
        return pool.rows[np.argsort(~passes, axis=1, kind="stable")[:, :FEED]]


def journey(
    subject: Subject,
    options: Options,
    pool: Pool,
    filtered: NDArray[np.intp],
    target: Target,
    wishes: Sequence[Quantized],
    specs: Sequence[Spec],
    tries: int,
    weight: float,
    fusion: Method,
) -> Journey:
    """One user's tries of each kind to come nearer to a target; `specs` are what the `wishes` mean, where that is known."""
    facts = options.facts
    known, goal = (facts.profile(rows, target.facets) for rows in (target.known, target.held_out))
    before = pool.rows[:FEED]

    def after(feeds: Sequence[NDArray[np.intp]] | NDArray[np.intp]) -> Doubles:
        """The best is chosen by what is known of the target; to leave the feed alone is free."""
        profiles = facts.profiles(np.stack([before, *feeds]), target.facets)
        to_known, to_goal = distance(profiles, known), distance(profiles, goal)
        return np.array([to_goal[np.argmin(to_known[: k + 1])] for k in range(1, max(2, len(to_goal)))])

    methods = {
        "words": after(steered(subject, pool, wishes, [weight] * len(wishes), fusion, FEED)),
        "filters": after(filtered[options.filters_offered.nearest(target, tries)]),
        ALL: after(filtered),
    }
    if specs:
        judged = [judged_feed(pool, options.judge.scores(spec), weight, fusion, FEED) for spec in specs]
        methods[PERFECT] = after(judged)
    own = distance(facts.profiles(target.known[None, :], target.facets), goal)
    start = distance(facts.profiles(before[None, :], target.facets), goal)
    return Journey(pool.user, target, float(start[0]), float(own[0]), methods)
