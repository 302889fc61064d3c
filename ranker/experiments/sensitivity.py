"""What steering costs: engagement against adherence as the weight goes from 0 to 1, for each way of fusing."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ranker.errors import DataError
from ranker.evaluate import Case, cases
from ranker.experiments.bootstrap import Estimate, estimate, resampled
from ranker.experiments.feeds import pool_of, steered
from ranker.experiments.fronts import pareto, recommended, shortfall
from ranker.experiments.measures import TOP, discounted
from ranker.experiments.subject import Subject
from ranker.fusion import FUSIONS, Method
from ranker.judges.rule import RuleJudge
from ranker.rank import Model
from ranker.recommender import Recommender
from ranker.requests import Grammar
from ranker.taste import user_taste

Doubles = NDArray[np.float64]
Watch = Callable[[str, float], object]
DEFAULT: Method = Model._field_defaults["fusion"]
PLAIN: Method = "rank"
HELD_OUT = 10
"""Ratings that are kept of each user, the latest: what the recommender should find."""
ROUNDING = 1e-9


class Curve(msgspec.Struct, frozen=True):
    """One way of fusing; lists are by weight."""

    ndcg: list[Estimate]
    recall: list[Estimate]
    adherence: list[Estimate]
    front: list[float]
    """The weights on its Pareto front of nDCG and adherence."""
    recommended: float
    recommended_between: tuple[float, float]
    """Where it lies in 95 % of the resamples."""
    monotone: bool
    """Whether mean adherence never falls as the weight rises."""
    largest_fall: Estimate
    """Of mean adherence from one weight to the next; 0 or less where it never falls."""
    below_plain: Estimate
    """The most engagement that plain rank interpolation has over this at the same adherence; 0 or less: none."""


class Sensitivity(msgspec.Struct, frozen=True):
    """The experiment's outcome."""

    bundle: str
    judge: str
    seed: int
    users: int
    requests: int
    candidates: int
    held_out: int
    default: str
    weights: list[float]
    curves: dict[str, Curve]


class _Figures(NamedTuple):
    """Sums over each user's requests, (users, weights), and how many they are, (users,)."""

    ndcg: Doubles
    recall: Doubles
    adherence: Doubles
    requests: Doubles


def sensitivity(
    subject: Subject,
    *,
    users: int,
    requests: int,
    candidates: int,
    steps: int,
    seed: int,
    watch: Watch = lambda *_: None,
) -> Sensitivity:
    """`requests` requests of each of `users` held-out users, at `steps` + 1 weights from 0 to 1.

    The recommender is fitted to all but each user's ten latest ratings. Raises DataError where no user has a rating left
    among their candidates.
    """
    dataset, chosen = subject.dataset, subject.users(users, seed)[0]
    weights = [step / steps for step in range(steps + 1)]
    recommender = Recommender.fit(dataset, seed=seed, hold_out=HELD_OUT)
    kept = dataset.interactions.hold_out_last(HELD_OUT)[1]
    pools, wanted = {}, {}
    for user in chosen:
        pool = pool_of(recommender, dataset.catalogue, user, candidates)
        relevant = np.zeros(len(dataset.catalogue), np.bool_)
        relevant[kept.item_rows[kept.of_user(user)]] = True
        # Who has rated nothing else gives the recommender nothing to go by.
        if len(dataset.interactions.item_rows[dataset.interactions.of_user(user)]) > HELD_OUT:
            pools[user], wanted[user] = pool, relevant
    asked = _asked(subject, list(pools), requests, seed)
    if not asked:
        raise DataError(f"no user held out has more than {HELD_OUT} ratings and something to ask for")
    texts = [case.text for some in asked.values() for case in some]
    vectors = iter(subject.quantized(texts, lambda done: watch("requests", done)))
    wishes = {user: [next(vectors) for _ in some] for user, some in asked.items()}
    figures = {method: _nothing(len(asked), len(weights)) for method in FUSIONS}
    for row, (user, some) in enumerate(asked.items()):
        for case, wish in zip(some, wishes[user], strict=True):
            for method in FUSIONS:
                feeds = steered(subject, pools[user], [wish] * len(weights), weights, method, TOP)
                _add(figures[method], row, feeds, case, wanted[user])
        watch("feeds", (row + 1) / len(asked))
    drawn = resampled([0] * len(asked), seed)
    return Sensitivity(
        bundle=subject.bundle.version,
        judge="rule",
        seed=seed,
        users=len(asked),
        requests=len(texts),
        candidates=candidates,
        held_out=HELD_OUT,
        default=DEFAULT,
        weights=weights,
        curves={method: _curve(each, figures[PLAIN], weights, drawn) for method, each in figures.items()},
    )


def _asked(subject: Subject, users: Sequence[str], requests: int, seed: int) -> dict[str, list[Case]]:
    """Each user's requests in usual phrasings held out, going round the categories from one user to the next."""
    grammar, judge = Grammar(subject.dataset.catalogue), RuleJudge(subject.dataset.catalogue)
    found: dict[str, list[Case]] = {}
    for place, user in enumerate(users):
        offered = cases(grammar, judge, [user_taste(subject.dataset, user)], "usual", 1, seed + place)
        if offered:
            found[user] = [offered[(place * requests + turn) % len(offered)] for turn in range(requests)]
    return found


def _nothing(users: int, weights: int) -> _Figures:
    ndcg, recall, adherence = np.zeros((3, users, weights))
    return _Figures(ndcg, recall, adherence, np.zeros(users))


def _add(figures: _Figures, row: int, feeds: Sequence[NDArray[np.intp]], case: Case, wanted: NDArray[np.bool_]) -> None:
    """The feeds of one request, one a weight."""
    total = wanted.sum()
    for place, feed in enumerate(feeds):
        best = discounted(np.ones(min(int(total), len(feed))), len(feed))
        figures.ndcg[row, place] += discounted(wanted[feed].astype(np.float64), len(feed)) / best
        figures.recall[row, place] += wanted[feed].sum() / total
        figures.adherence[row, place] += discounted(case.judged[feed].astype(np.float64), len(feed))
    figures.requests[row] += 1


def _curve(figures: _Figures, plain: _Figures, weights: Sequence[float], drawn: NDArray[np.intp]) -> Curve:
    """Intervals are over users, each with all of their requests."""

    def mean(sums: Doubles, rows: NDArray[np.intp]) -> Doubles:
        values: Doubles = sums[rows].sum(axis=0) / figures.requests[rows].sum()
        return values

    def by_weight(sums: Doubles) -> list[Estimate]:
        resamples = np.stack([mean(sums, rows) for rows in drawn])
        low, high = np.percentile(resamples, [2.5, 97.5], axis=0)
        values = mean(sums, np.arange(len(sums)))
        return [Estimate(*map(float, each)) for each in zip(values, low, high, strict=True)]

    def below(rows: NDArray[np.intp]) -> float:
        ours, theirs = ((mean(each.ndcg, rows), mean(each.adherence, rows)) for each in (figures, plain))
        return shortfall(ours, theirs)

    everyone = np.arange(drawn.shape[1])
    engagement, adherence = mean(figures.ndcg, everyone), mean(figures.adherence, everyone)
    picked = [weights[recommended(mean(figures.ndcg, rows), mean(figures.adherence, rows))] for rows in drawn]
    steepest = int(np.argmin(np.diff(adherence)))
    return Curve(
        ndcg=by_weight(figures.ndcg),
        recall=by_weight(figures.recall),
        adherence=by_weight(figures.adherence),
        front=[weights[place] for place in pareto(engagement, adherence)],
        recommended=weights[recommended(engagement, adherence)],
        recommended_between=(float(np.percentile(picked, 2.5)), float(np.percentile(picked, 97.5))),
        monotone=bool(np.diff(adherence).min() >= -ROUNDING),
        largest_fall=estimate(lambda rows: float(-np.diff(mean(figures.adherence, rows))[steepest]), drawn),
        below_plain=estimate(below, drawn),
    )
