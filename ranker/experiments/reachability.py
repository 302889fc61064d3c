"""Can a user move their feed to a target profile, by traditional filters and by words, with as many tries of each?"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from ranker.errors import DataError
from ranker.experiments.bootstrap import Estimate, estimate, resampled
from ranker.experiments.feeds import Pool, judged_feed, pool_of, steered
from ranker.experiments.profiles import Doubles, Facts, distance
from ranker.experiments.subject import Subject
from ranker.experiments.targets import (
    FEED,
    Kind,
    Target,
    all_filters,
    all_requests,
    era_targets,
    nearest,
    passing,
    taste_targets,
)
from ranker.judges.rule import RELEVANT, RuleJudge
from ranker.recommender import Recommender
from ranker.requests import Grammar, Spec
from ranker.vectors import Quantized

Watch = Callable[[str, float], object]
KINDS: tuple[Kind, ...] = get_args(Kind)
METHODS = ("words", "filters", "words, judged", "filters, all")
TARGETS_NAMED = 5


class Journey(NamedTuple):
    """One user, one target: distances to the target's held-out part."""

    user: str
    target: Target
    before: float
    attainable: float
    """Of the target's own known items."""
    after: dict[str, Doubles]
    """Method to (k,) distance after the best of 1..k tries; of `filters, all` only the last."""


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
    tries: int
    weight: float
    feed: int
    written_by: str
    kinds: dict[str, Kinds]
    examples: list[str]
    """A target, and what was tried for it."""


class Written(msgspec.Struct, frozen=True):
    """A line of a file of requests: what somebody wrote to reach a target, the first try first."""

    target: str
    text: str


def read_written(path: Path) -> dict[str, list[str]]:
    """Target's name to requests. Raises DataError naming the line that is not as documented."""
    found: dict[str, list[str]] = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            request = msgspec.json.decode(line, type=Written)
        except msgspec.MsgspecError as error:
            raise DataError(
                f'{path}, line {number}: {error}; expected {{"target": "user 42", "text": "..."}}'
            ) from error
        if not request.text.strip():
            raise DataError(f"{path}, line {number}: the text is blank")
        found.setdefault(request.target, []).append(request.text)
    if not found:
        raise DataError(f"{path}: no requests in it")
    return found


def reachability(
    subject: Subject,
    *,
    users: int,
    targets: int,
    tries: int,
    weight: float,
    seed: int,
    written: Mapping[str, Sequence[str]] | None = None,
    watch: Watch = lambda *_: None,
) -> Reachability:
    """Moves the feeds of `users` held-out users towards `targets` targets of each kind.

    Requests come from the grammar, in held-out phrasings, or from `written`, by the target's name: then only targets that it
    names are tried. Raises DataError where there is no target.
    """
    dataset, random = subject.dataset, Random(seed)
    everyone = subject.users(WHOLE_POPULATION, seed)[0]
    askers = sorted(random.sample(everyone, min(users, len(everyone))))
    grammar, judge, facts = Grammar(dataset.catalogue), RuleJudge(dataset.catalogue), Facts(dataset.catalogue)
    options = _Options(grammar, judge, facts)
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
        specs = [options.specs[row] for row in nearest(facts, target, options.meant, tries)] if written is None else []
        texts = (
            [grammar.phrased(spec, "heldout", random) for spec in specs]
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
            journeys.append(_journey(subject, options, pool, filtered, target, wishes, specs, tries, weight))
        watch("feeds", (place + 1) / len(askers))
    return Reachability(
        bundle=subject.bundle.version,
        seed=seed,
        users=len(askers),
        tries=tries,
        weight=weight,
        feed=FEED,
        written_by="the grammar, in held-out phrasings" if written is None else "the file of requests",
        kinds={kind: _summary(some, tries, seed) for kind in KINDS if (some := _of_kind(journeys, kind))},
        examples=[
            f"{target.name}: " + "; ".join(f"“{text}”" for text in tried[target.name][0][:3])
            for kind in KINDS
            for target in [each.target for each in _of_kind(journeys, kind)][:2]
        ],
    )


WHOLE_POPULATION = 1 << 30


class _Options:
    """All that can be tried, and which items each option means."""

    def __init__(self, grammar: Grammar, judge: RuleJudge, facts: Facts) -> None:
        self.judge, self.facts = judge, facts
        self.filters, self.specs = all_filters(facts), all_requests(grammar)
        self.passing = np.stack([passing(facts, each) for each in self.filters])  # (filters, n)
        self.meant = np.stack([judge.scores(spec) >= RELEVANT for spec in self.specs])  # (specs, n)

    def filtered(self, pool: Pool) -> NDArray[np.intp]:
        """(filters, FEED) what each filter shows: what passes, in base order, and where that is too little, the rest after it."""
        passes = self.passing[:, pool.rows]
        return pool.rows[np.argsort(~passes, axis=1, kind="stable")[:, :FEED]]


def _journey(
    subject: Subject,
    options: _Options,
    pool: Pool,
    filtered: NDArray[np.intp],
    target: Target,
    wishes: Sequence[Quantized],
    specs: Sequence[Spec],
    tries: int,
    weight: float,
) -> Journey:
    facts = options.facts
    known, goal = (facts.profile(rows, target.facets) for rows in (target.known, target.held_out))
    before = pool.rows[:FEED]

    def after(feeds: Sequence[NDArray[np.intp]] | NDArray[np.intp]) -> Doubles:
        """The best is chosen by what is known of the target; to leave the feed alone is free."""
        profiles = facts.profiles(np.stack([before, *feeds]), target.facets)
        to_known, to_goal = distance(profiles, known), distance(profiles, goal)
        return np.array([to_goal[np.argmin(to_known[: k + 1])] for k in range(1, len(to_goal))])

    methods = {
        "words": after(steered(subject, pool, wishes, [weight] * len(wishes), "rank", FEED)),
        "filters": after(filtered[nearest(facts, target, options.passing, tries)]),
        "filters, all": after(filtered),
    }
    if specs:
        judged = [judged_feed(pool, options.judge.scores(spec), weight, FEED) for spec in specs]
        methods["words, judged"] = after(judged)
    own = distance(facts.profiles(target.known[None, :], target.facets), goal)
    start = distance(facts.profiles(before[None, :], target.facets), goal)
    return Journey(pool.user, target, float(start[0]), float(own[0]), methods)


def _of_kind(journeys: Sequence[Journey], kind: Kind) -> list[Journey]:
    return [each for each in journeys if each.target.kind == kind]


def _summary(journeys: Sequence[Journey], tries: int, seed: int) -> Kinds:
    """Intervals are over users, each with all of their journeys."""
    users = sorted({each.user for each in journeys})
    place = {user: row for row, user in enumerate(users)}
    of = np.array([place[each.user] for each in journeys])
    drawn = resampled([0] * len(users), seed)

    def by_user(values: Sequence[float] | Doubles) -> Doubles:
        return np.bincount(of, np.asarray(values, np.float64), len(users))

    def ratio(upper: Doubles, lower: Doubles) -> Estimate:
        with np.errstate(divide="ignore", invalid="ignore"):
            return estimate(lambda rows: float(upper[rows].sum() / lower[rows].sum()), drawn)

    before, attainable = (np.array([getattr(each, name) for each in journeys]) for name in ("before", "attainable"))
    count, gap = by_user(np.ones(len(journeys))), by_user(before - attainable)
    after = {name: np.stack([_padded(each.after[name], tries) for each in journeys])
             for name in METHODS if name in journeys[0].after}  # fmt: skip
    closed = {name: [by_user(before - column) for column in values.T] for name, values in after.items()}
    ends = {name: values[:, -1] for name, values in after.items()}
    lead = ends["words"] - ends["filters"]
    return Kinds(
        journeys=len(journeys),
        before=ratio(by_user(before), count),
        attainable=ratio(by_user(attainable), count),
        share={name: [ratio(each, gap) for each in columns] for name, columns in closed.items()},
        words_to_filters=ratio(closed["words"][-1], closed["filters"][-1]),
        words_to_all_filters=ratio(closed["words"][-1], closed["filters, all"][-1]),
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
