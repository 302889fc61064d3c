"""Can a user move their feed to a target profile, by traditional filters and by words, with as many tries of each?"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import get_args

import msgspec
import numpy as np

from ranker.errors import DataError
from ranker.experiments.bootstrap import Estimate, crossed, ratio_of
from ranker.experiments.feeds import pool_of
from ranker.experiments.journeys import ALL, PERFECT, Journey, Options, journey
from ranker.experiments.profiles import Doubles, Facts
from ranker.experiments.subject import Subject
from ranker.experiments.targets import FEED, Kind, Target, era_targets, taste_targets
from ranker.fusion import Method
from ranker.judges.rule import RuleJudge
from ranker.recommender import Recommender
from ranker.requests import Grammar, Spec

Watch = Callable[[str, float], object]
EVERYONE = 1 << 30
KINDS: tuple[Kind, ...] = get_args(Kind)
METHODS = ("words", "filters", PERFECT, ALL)
TARGETS_NAMED = 5


class Kinds(msgspec.Struct, frozen=True):
    """What came out for one kind of target. Shares are of the gap: 1 is as near as the target's own items, 0 no nearer."""

    journeys: int
    before: Estimate
    attainable: Estimate
    share: dict[str, list[Estimate]]
    """Method to figure by tries, 1 to k."""
    words_to_filters: Estimate
    """Ratio of what words close to what filters close, k tries each."""
    words_to_all_filters: Estimate
    filters_nearer: float
    """In how many journeys filters end nearer to the target than words do."""
    filters_lead: list[str]
    """The targets, with the lead, to which filters come nearer by most."""
    words_lead: list[str]


class Reachability(msgspec.Struct, frozen=True):
    """The experiment's outcome."""

    bundle: str
    seed: int
    users: int
    targets: int
    tries: int
    weight: float
    fusion: Method
    feed: int
    filters: int
    """Combinations that there are."""
    written_by: str
    kinds: dict[str, Kinds]
    examples: list[str]
    """A target, and what was tried for it."""


def reachability(
    subject: Subject,
    *,
    users: int,
    targets: int,
    tries: int,
    weight: float,
    seed: int,
    fusion: Method = "rank",
    written: Mapping[str, Sequence[str]] | None = None,
    watch: Watch = lambda *_: None,
) -> Reachability:
    """Moves the feeds of `users` held-out users towards `targets` targets of each kind.

    Requests come from the grammar, in usual phrasings held out, or from `written`, by the target's name: then only targets
    that it names are tried. Raises DataError where there is no target.
    """
    dataset, random = subject.dataset, Random(seed)
    everyone = subject.users(EVERYONE, seed)[0]
    askers = sorted(random.sample(everyone, min(users, len(everyone))))
    grammar, judge, facts = Grammar(dataset.catalogue), RuleJudge(dataset.catalogue), Facts(dataset.catalogue)
    options = Options(grammar, judge, facts)
    offered: dict[Kind, list[Target]] = {
        "taste": taste_targets(dataset, everyone),
        "genre and era": era_targets(grammar, dataset, facts),
    }
    if written is not None:
        offered = {kind: [each for each in some if each.name in written] for kind, some in offered.items()}
    if not any(offered.values()):
        raise DataError(
            "there is no target: no user has rated enough, or the file of requests names none that there is"
        )
    plans = [
        (user, target)
        for user in askers
        for some in offered.values()
        for others in [[each for each in some if each.name != f"user {user}"]]
        for target in random.sample(others, min(targets, len(others)))
    ]
    tried: dict[str, tuple[list[str], list[Spec]]] = {}
    for target in {target.name: target for _, target in plans}.values():
        specs = [options.specs[row] for row in options.specs_offered.nearest(target, tries)] if written is None else []
        texts = (
            [grammar.phrased(spec, "usual", random) for spec in specs]
            if written is None
            else list(written[target.name][:tries])
        )
        tried[target.name] = (texts, specs)
    texts = [text for some, _ in tried.values() for text in some]
    vectors = dict(zip(texts, subject.quantized(texts, lambda done: watch("requests", done)), strict=True))
    recommender = Recommender.fit(dataset, seed=seed)
    journeys: list[Journey] = []
    for place, user in enumerate(askers):
        pool = pool_of(recommender, dataset.catalogue, user)
        filtered = options.filtered(pool)
        for target in (target for asker, target in plans if asker == user):
            said, specs = tried[target.name]
            wishes = [vectors[text] for text in said]
            journeys.append(journey(subject, options, pool, filtered, target, wishes, specs, tries, weight, fusion))
        watch("feeds", (place + 1) / len(askers))
    return Reachability(
        bundle=subject.bundle.version,
        seed=seed,
        users=len(askers),
        targets=targets,
        tries=tries,
        weight=weight,
        fusion=fusion,
        feed=FEED,
        filters=len(options.filters),
        written_by="the grammar, in usual phrasings held out" if written is None else "the file of requests",
        kinds={kind: _summary(some, tries, seed) for kind in KINDS if (some := _of_kind(journeys, kind))},
        examples=[
            f"{target.name}: " + "; ".join(f"“{text}”" for text in tried[target.name][0][:3])
            for kind in KINDS
            for target in [each.target for each in _of_kind(journeys, kind)][:2]
        ],
    )


def _of_kind(journeys: Sequence[Journey], kind: Kind) -> list[Journey]:
    return [each for each in journeys if each.target.kind == kind]


def _summary(journeys: Sequence[Journey], tries: int, seed: int) -> Kinds:
    """Intervals are over users and targets, both being samples."""
    users, targets = (
        np.unique(names, return_inverse=True)[1].tolist()
        for names in ([each.user for each in journeys], [each.target.name for each in journeys])
    )
    weights = crossed(users, targets, seed)

    def ratio(upper: Doubles, lower: Doubles) -> Estimate:
        return ratio_of(upper, lower, weights)

    before, attainable = (np.array([getattr(each, name) for each in journeys]) for name in ("before", "attainable"))
    count, gap = np.ones(len(journeys)), before - attainable
    after = {name: np.stack([_padded(each.after[name], tries) for each in journeys])
             for name in METHODS if name in journeys[0].after}  # fmt: skip
    closed = {name: [before - column for column in values.T] for name, values in after.items()}
    ends = {name: values[:, -1] for name, values in after.items()}
    lead = ends["words"] - ends["filters"]
    return Kinds(
        journeys=len(journeys),
        before=ratio(before, count),
        attainable=ratio(attainable, count),
        share={name: [ratio(each, gap) for each in columns] for name, columns in closed.items()},
        words_to_filters=ratio(closed["words"][-1], closed["filters"][-1]),
        words_to_all_filters=ratio(closed["words"][-1], closed[ALL][-1]),
        filters_nearer=float((lead > 0).mean()),
        filters_lead=_leaders(journeys, lead),
        words_lead=_leaders(journeys, -lead),
    )


def _padded(after: Doubles, tries: int) -> Doubles:
    """(tries,) of the first tries and, where there are more, what the last came to; where fewer, it stays as it is."""
    if len(after) > tries:  # all filters: no matter in what order
        return np.full(tries, after[-1])
    return np.pad(after, (0, tries - len(after)), mode="edge")


def _leaders(journeys: Sequence[Journey], lead: Doubles) -> list[str]:
    by_target: dict[str, list[float]] = {}
    for each, value in zip(journeys, lead, strict=True):
        by_target.setdefault(each.target.name, []).append(float(value))
    means = sorted(((float(np.mean(values)), name) for name, values in by_target.items()), reverse=True)
    return [f"{name} ({value:.3f} nearer)" for value, name in means[:TARGETS_NAMED] if value > 0]
