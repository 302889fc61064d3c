"""How well two towers order the catalogue for requests in words that they were not trained on.

The figure is the area under the ROC curve of the dot products, an item being relevant where the rule judge scores it 0.5
or more; mean over requests and users of each category. 0.5 is chance, 1 is the judge's own order.
"""

from collections.abc import Callable, Sequence
from random import Random

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from ranker.judges.question import CatalogueJudge
from ranker.judges.rule import RELEVANT
from ranker.requests import CATEGORIES, Category, Grammar, Spec, Split
from ranker.requesttext import request_text
from ranker.taste import Taste

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""(n) texts to (n, d) vectors."""
FEWEST = 3
"""A request needs this many relevant and this many other items, or its figure says nothing."""
ATTEMPTS = 50


class Case(msgspec.Struct, frozen=True):
    """One request of one user, as the request tower reads it, and what the judge says of each item."""

    category: Category
    text: str
    judged: NDArray[np.float32]
    """(n,) in 0..1."""
    spec: Spec = Spec()
    context: str | None = None
    """The user's taste, where it is told."""

    @property
    def relevant(self) -> NDArray[np.bool_]:
        """(n,) whether an item is what was asked for."""
        return self.judged >= RELEVANT


class Report(msgspec.Struct, frozen=True):
    """Mean AUC by category. `worst_request` is the lowest single one of each category, to look into."""

    split: str
    requests: int
    auc: dict[str, float]
    worst_request: dict[str, str]

    @property
    def mean(self) -> float:
        """The mean over categories."""
        return float(np.mean(list(self.auc.values())))

    @property
    def worst(self) -> str:
        """The category with the lowest figure."""
        return min(self.auc, key=lambda category: self.auc[category])


def split_users(user_ids: Sequence[str], seed: int, share: float = 0.1) -> tuple[list[str], list[str]]:
    """(users to train with, users held out), by chance; at least one of each where there are two."""
    users = sorted(user_ids)
    Random(seed).shuffle(users)
    held = min(max(1, round(len(users) * share)), max(len(users) - 1, 0))
    return sorted(users[held:]), sorted(users[:held])


def cases(
    grammar: Grammar, judge: CatalogueJudge, tastes: Sequence[Taste], split: Split, per_category: int, seed: int
) -> list[Case]:
    """Requests to measure with; each is asked by a user drawn from `tastes`.

    The user's context goes with it where the request is about it, and half the time where it should not matter. A
    category that the catalogue has no requests for is left out.
    """
    random = Random(seed)
    usable = [taste for taste in tastes if taste.genres]
    found: list[Case] = []
    for category in CATEGORIES:
        made = 0
        for _ in range(per_category * ATTEMPTS):
            if made == per_category:
                break
            request = grammar.draw(category, split, random)
            taste = random.choice(usable) if usable else None
            if request.category != category or (request.spec.about_user and taste is None):
                continue
            judged = judge.scores(request.spec, taste)
            if not FEWEST <= (judged >= RELEVANT).sum() <= len(judged) - FEWEST:
                continue
            told = taste is not None and (request.spec.about_user or random.random() < 0.5)
            context = taste.text() if told and taste else None
            found.append(Case(category, request_text(request.text, context), judged, request.spec, context))
            made += 1
    return found


def evaluate(
    measured: Sequence[Case], split: Split, embed_requests: Embed, item_vectors: NDArray[np.float32]
) -> Report:
    """AUC of the dot products of the cases' texts with `item_vectors` (n, d), rows as in the catalogue."""
    vectors = embed_requests([case.text for case in measured])  # (cases, d)
    scores = vectors @ item_vectors.T  # (cases, d) @ (d, n) -> (cases, n)
    figures = [auc(row, case.relevant) for row, case in zip(scores, measured, strict=True)]
    by_category: dict[str, list[tuple[float, str]]] = {}
    for case, figure in zip(measured, figures, strict=True):
        by_category.setdefault(case.category, []).append((figure, case.text))
    return Report(
        split=split,
        requests=len(measured),
        auc={name: float(np.mean([figure for figure, _ in pairs])) for name, pairs in by_category.items()},
        worst_request={name: min(pairs)[1] for name, pairs in by_category.items()},
    )


def auc(scores: NDArray[np.float32], relevant: NDArray[np.bool_]) -> float:
    """The chance that a relevant item scores above another, ties counted half: (ΣR - p(p+1)/2) / (p·q), R 1-based ranks."""
    ordered = np.sort(scores)
    below = np.searchsorted(ordered, scores, side="left")
    upto = np.searchsorted(ordered, scores, side="right")
    ranks = (below + upto + 1) / 2  # the mean rank of a tie
    positives = int(relevant.sum())
    negatives = len(relevant) - positives
    return float((ranks[relevant].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def report_table(report: Report, baseline: Report | None = None, unusual: Report | None = None) -> Table:
    """The figures as a table, the untouched backbone's beside them, and the towers' in unusual phrasings."""
    table = Table(title=f"AUC against the rule judge, {report.split} phrasings held out, {report.requests} requests")
    table.add_column("category")
    shown = {"towers": report, "zero-shot": baseline, "towers, unusual phrasings": unusual}
    reports = {name: each for name, each in shown.items() if each is not None}
    for name in reports:
        table.add_column(name, justify="right")
    for category in report.auc:
        mark = " ← worst" if category == report.worst else ""
        table.add_row(
            category + mark, *(f"{each.auc[category]:.3f}" if category in each.auc else "" for each in reports.values())
        )
    table.add_section()
    table.add_row("mean", *(f"{each.mean:.3f}" for each in reports.values()))
    return table
