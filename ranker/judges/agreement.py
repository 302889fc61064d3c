"""How far judges agree: the same requests and items put to each, and their scores set side by side."""

from collections.abc import Sequence
from random import Random

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ranker.data import Dataset
from ranker.errors import DataError
from ranker.judges.compose import Scores
from ranker.judges.question import CatalogueJudge, Judge, Question
from ranker.judges.rule import RELEVANT
from ranker.requests import CATEGORIES, Category, Grammar, Split
from ranker.taste import user_taste

ATTEMPTS = 50
RESAMPLES = 1000


class Figures(msgspec.Struct, frozen=True):
    """Means over requests. `spearman` and `auc` leave out requests of which one judge scores all items alike.

    `auc`: the chance that the other judge scores an item that fits, by the first one, above one that does not; `interval` is
    its 95 % interval, from resampled requests.
    """

    requests: int
    pairs: int
    spearman: float | None
    mse: float
    auc: float | None
    interval: tuple[float, float] | None


class Comparison(msgspec.Struct, frozen=True):
    """The second judge against the first, which counts as right for the AUC."""

    first: str
    second: str
    overall: Figures
    categories: dict[Category, Figures]
    unscored: int


class Agreement(msgspec.Struct, frozen=True):
    """All pairs of judges on one sample."""

    split: Split
    seed: int
    requests: int
    items: int
    comparisons: list[Comparison]

    def markdown(self) -> str:
        """One table a pair."""
        lines = [
            f"# How far the judges agree: {self.requests} requests ({self.split} phrasings, seed {self.seed}), "
            f"{self.items} items each",
            "",
            "Half of a request's items are drawn from those that fit, by the rule judge, the others from all. Spearman's "
            "correlation and the mean squared error are symmetric; for the AUC the first judge counts as right (an item fits "
            "from 0.5 on). Intervals: 95 %, of the AUC, requests resampled.",
        ]
        for pair in self.comparisons:
            lines += ["", f"## {pair.second} against {pair.first}", ""]
            if pair.unscored:
                lines += [f"{pair.unscored} pairs have no score by one of the two and are left out.", ""]
            lines += ["| category | requests | Spearman | MSE | AUC | interval |", "|---|--:|--:|--:|--:|---|"]
            lines += [_row(name, figures) for name, figures in pair.categories.items()] + [_row("all", pair.overall)]
        return "\n".join(lines) + "\n"


def sample(
    dataset: Dataset, grammar: Grammar, rule: CatalogueJudge, per_category: int, items: int, split: Split, seed: int
) -> list[Question]:
    """Questions of every category that the catalogue has requests for. Raises DataError where there is none, or no user."""
    random, users = Random(seed), dataset.interactions.user_ids
    if not users:
        raise DataError("there are no interactions; requests need users who ask")
    found: list[Question] = []
    for category in CATEGORIES:
        made = 0
        for _ in range(per_category * ATTEMPTS):
            if made == per_category:
                break
            request, taste = grammar.draw(category, split, random), user_taste(dataset, random.choice(users))
            if request.category != category or (request.spec.about_user and not taste.genres):
                continue
            fits = np.flatnonzero(rule.scores(request.spec, taste) >= RELEVANT).tolist()
            good = random.sample(fits, min(items // 2, len(fits)))
            others = np.setdiff1d(np.arange(len(dataset.catalogue)), good).tolist()
            rows = np.array(good + random.sample(others, min(items - len(good), len(others))))
            found.append(Question(request, taste, rows))
            made += 1
    if not found:
        raise DataError("there is nothing that could be asked about this catalogue")
    return found


def compare(judges: Sequence[Judge], questions: Sequence[Question], split: Split, seed: int) -> Agreement:
    """Every judge against every one before it."""
    scored = [judge.judge(questions) for judge in judges]
    comparisons = [
        _pair(judges[first].name, judges[second].name, questions, scored[first], scored[second])
        for second in range(len(judges))
        for first in range(second)
    ]
    return Agreement(split, seed, len(questions), max(len(asked.rows) for asked in questions), comparisons)


def _pair(
    first: str, second: str, questions: Sequence[Question], left: Sequence[Scores], right: Sequence[Scores]
) -> Comparison:
    known = [~(np.isnan(a) | np.isnan(b)) for a, b in zip(left, right, strict=True)]
    pairs = [(a[mask], b[mask]) for a, b, mask in zip(left, right, known, strict=True)]
    by_category: dict[Category, list[tuple[Scores, Scores]]] = {}
    for asked, pair in zip(questions, pairs, strict=True):
        by_category.setdefault(asked.request.category, []).append(pair)
    unscored = sum(int((~mask).sum()) for mask in known)
    categories = {name: figures(some) for name, some in by_category.items()}
    return Comparison(first, second, figures(pairs), categories, unscored)


def figures(pairs: Sequence[tuple[Scores, Scores]]) -> Figures:
    """Of the scores of two judges on each request's items."""
    ranks: list[float] = []
    areas: list[float] = []
    for left, right in pairs:
        fits = left >= RELEVANT
        if len(left) and np.ptp(left) > 0 and np.ptp(right) > 0:
            ranks.append(float(spearmanr(left, right).statistic))
        if fits.any() and not fits.all():
            areas.append(_auc(right, fits))
    errors = [float(np.mean((left - right) ** 2)) for left, right in pairs if len(left)]
    return Figures(
        requests=len(pairs),
        pairs=sum(len(left) for left, _ in pairs),
        spearman=float(np.mean(ranks)) if ranks else None,
        mse=float(np.mean(errors)) if errors else 0.0,
        auc=float(np.mean(areas)) if areas else None,
        interval=_interval(np.array(areas)) if len(areas) > 1 else None,
    )


def _auc(scores: Scores, fits: NDArray[np.bool_]) -> float:
    """Ties count half."""
    difference = scores[fits][:, None] - scores[~fits][None, :]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    draws = np.random.default_rng(0).choice(values, (RESAMPLES, len(values)))  # (resamples, requests)
    low, high = np.quantile(draws.mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def _row(name: str, figures: Figures) -> str:
    shown = ["" if value is None else f"{value:.3f}" for value in (figures.spearman, figures.mse, figures.auc)]
    interval = f"{figures.interval[0]:.3f} to {figures.interval[1]:.3f}" if figures.interval else ""
    return f"| {name} | {figures.requests} | {' | '.join(shown)} | {interval} |"
