"""Which requests are asked by whom, and about which items: as many that fit as ones that nearly do, and a few at random."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from ranker.data import Dataset
from ranker.errors import DataError
from ranker.judges.compose import Scores
from ranker.judges.question import CatalogueJudge, Question
from ranker.judges.rule import RELEVANT
from ranker.requests import CATEGORIES, Grammar, Request, Split
from ranker.synthesis.plan import PHRASINGS, Plan, phrasing_of
from ranker.taste import Taste, user_taste

WRITTEN = 0.5
"""Of the requests, how many are written ones, where there are some."""
ATTEMPTS = 200
POOL = 4
"""Hard negatives are drawn from the nearest so many times as many: not the same few every time."""
ALIKE = 0.5
"""How much likeness to what fits counts, beside having what the request speaks of."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One request of one user, and for each of its items, rows of the question, why it was drawn."""

    question: Question
    user_id: str
    phrasing: Split
    why: tuple[str, ...]


class Draws:
    """Row groups of questions: each by its number alone, whatever was drawn before."""

    def __init__(
        self, plan: Plan, dataset: Dataset, grammar: Grammar, near: CatalogueJudge, written: Sequence[Request] = ()
    ) -> None:
        """`near` chooses the items: the judge itself, or a cheaper one that knows what the requests mean."""
        self._plan, self._dataset, self._grammar, self._near, self._written = plan, dataset, grammar, near, written
        self._users = dataset.interactions.user_ids
        self._tastes: dict[str, Taste] = {}
        self._features = features(dataset)
        if not self._users:
            raise DataError("there are no interactions; triples need users")

    def group(self, number: int) -> list[Drawn]:
        """Questions about `plan.group` items in all or, by the last question, a few more."""
        random = Random(f"{self._plan.seed} {number}")
        first, count = random.randrange(len(CATEGORIES)), 0  # all categories equally often, in small groups, too
        drawn: list[Drawn] = []
        while count < self._plan.group:
            drawn.append(self._one(random, first + len(drawn)))
            count += len(drawn[-1].why)
        return drawn

    def _one(self, random: Random, number: int) -> Drawn:
        for _ in range(ATTEMPTS):
            user_id = random.choice(self._users)
            taste = self._taste(user_id)
            request, phrasing = self._request(random, number)
            if request.spec.about_user and not taste.genres:
                continue
            scores = self._near.scores(request.spec, taste)
            rows, why = self._rows(request, taste, scores, random)
            if why:
                return Drawn(Question(request, taste, rows), user_id, phrasing, why)
        raise DataError(
            f"{ATTEMPTS} requests in a row fit all items or none; the catalogue is too uniform to learn from"
        )

    def _request(self, random: Random, number: int) -> tuple[Request, Split]:
        if self._written and random.random() < WRITTEN:
            request = random.choice(self._written)
            return request, phrasing_of(request.text)
        (phrasing,) = random.choices(list(PHRASINGS), list(PHRASINGS.values()))
        return self._grammar.draw(CATEGORIES[number % len(CATEGORIES)], phrasing, random), phrasing

    def _rows(
        self, request: Request, taste: Taste, scores: Scores, random: Random
    ) -> tuple[NDArray[np.intp], tuple[str, ...]]:
        """Nothing where no item fits, or all do."""
        fits = scores >= RELEVANT
        good, other = np.flatnonzero(fits), np.flatnonzero(~fits)
        count = min(self._plan.positives, len(good), len(other))
        if not count:
            return good[:0], ()
        nearness = self._nearness(request, taste, fits)[other]
        size = min(POOL * count, len(other))
        nearest = other[np.argsort(-nearness, kind="stable")[:size]]
        chosen = random.sample(good.tolist(), count) + random.sample(nearest.tolist(), count)
        rest = np.setdiff1d(np.arange(len(scores)), chosen, assume_unique=True).tolist()
        further = random.sample(rest, min(self._plan.random, len(rest)))
        why = ("positive",) * count + ("hard negative",) * count + ("random",) * len(further)
        return np.array(chosen + further), why

    def _nearness(self, request: Request, taste: Taste, fits: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(n,) how near an item is to what the request talks about, wanted or refused, and to the items that fit."""
        facts = (*request.spec.wanted, *request.spec.refused)
        spoken_of = np.max([self._near.fit(fact, taste) for fact in facts], axis=0)  # (facts, n) -> (n,)
        alike = self._features @ self._features[fits].mean(axis=0)  # (n, f) @ (f,)
        return np.asarray(spoken_of + ALIKE * alike / max(float(alike.max()), 1e-9), dtype=np.float32)

    def _taste(self, user_id: str) -> Taste:
        if user_id not in self._tastes:
            self._tastes[user_id] = user_taste(self._dataset, user_id)
        return self._tastes[user_id]


def features(dataset: Dataset) -> NDArray[np.float32]:
    """(n, f) unit rows: genres, the rarer the weightier, and decade, popularity and acclaim."""
    catalogue = dataset.catalogue
    genres = catalogue.genre_matrix.astype(np.float32)
    weights = np.log1p(len(catalogue) / np.maximum(genres.sum(axis=0), 1))
    parts: list[NDArray[np.float32]] = [
        _unit(genres * weights),
        _unit(_humps(np.nan_to_num(catalogue.years, nan=-1e4), np.arange(1900, 2040, 10), 8)) * 0.7,
        _unit(_humps(catalogue.popularity, np.linspace(0, 1, 5), 0.2)) * 0.5,
        _unit(_humps(catalogue.acclaim, np.linspace(0, 1, 5), 0.2)) * 0.5,
    ]
    return _unit(np.concatenate(parts, axis=1))


def _humps(values: NDArray[np.float32], centres: NDArray[np.generic], width: float) -> NDArray[np.float32]:
    """(n, centres) bell curves: values that lie near to each other have rows that are alike."""
    distance = (values[:, None] - centres.astype(np.float32)) / width
    return np.asarray(np.exp(-(distance**2)), dtype=np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), dtype=np.float32)


Watch = Callable[[int], None]
"""Sees how many more triples are written."""
