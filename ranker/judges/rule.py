"""The judge that decides from catalogue facts and the user's history: exact, without a network, so also the ground truth."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ranker.catalogue import Catalogue
from ranker.judges.compose import Scores, compose
from ranker.judges.question import Question
from ranker.requests.spec import Acclaim, Era, Fact, OwnTaste, Popularity, Spec, Topic, Words
from ranker.taste import Taste

RELEVANT = 0.5
"""An item is relevant to a request from this score on."""
# What misses stays below RELEVANT, but near misses score higher than far ones, so that a ranking is taught beyond yes and no.
NEAR_MISS = 0.4
MAINSTREAM_FROM, HIDDEN_BELOW, GOOD_FROM = 0.80, 0.60, 0.55
ACCLAIMED_FROM, BAD_BELOW = 0.80, 0.25
YEARS_TO_FADE = 8.0
# How much an item of the user's first, second, third genre fits their taste; fits of several genres add up to 1 at most.
TASTE_WEIGHTS = (0.8, 0.7, 0.6)


class RuleJudge:
    """Scores a whole catalogue at once; fits of single facts are computed once and kept."""

    name = "rule"

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._columns = {genre: column for column, genre in enumerate(catalogue.genres)}
        self._fits: dict[tuple[Fact, Taste | None], Scores] = {}

    def scores(self, spec: Spec, taste: Taste | None = None) -> Scores:
        """(n,) float32 in [0, 1], rows as in the catalogue.

        Raises ValueError where the spec is about the user's own taste and none is given, or about a topic in words of
        its own, which no catalogue fact names.
        """
        return compose(spec, lambda fact: self.fit(fact, taste), len(self.catalogue))

    def judge(self, questions: Sequence[Question]) -> list[Scores]:
        """The scores of each question's items."""
        return [self.scores(asked.request.spec, asked.taste)[asked.rows] for asked in questions]

    def fit(self, fact: Fact, taste: Taste | None = None) -> Scores:
        """(n,) float32 in [0, 1]: how well each item fits one fact."""
        key = (fact, taste if isinstance(fact, OwnTaste) else None)
        if key not in self._fits:
            self._fits[key] = self._fit(fact, taste)
        return self._fits[key]

    def _fit(self, fact: Fact, taste: Taste | None) -> Scores:
        popularity, acclaim = self.catalogue.popularity, self.catalogue.acclaim
        match fact:
            case Topic(genres):
                columns = [self._columns[genre] for genre in genres if genre in self._columns]
                return np.asarray(self.catalogue.genre_matrix[:, columns].any(axis=1), dtype=np.float32)
            case Era(first, last):
                years = self.catalogue.years
                early = np.maximum((-np.inf if first is None else first) - years, 0)
                late = np.maximum(years - (np.inf if last is None else last), 0)
                distance = early + late  # in years; NaN where the year is unknown, which fits no era
                fits = np.where(distance > 0, NEAR_MISS * np.exp(-distance / YEARS_TO_FADE), 1.0)
                return np.where(np.isnan(years), 0.0, fits).astype(np.float32)
            case Popularity("mainstream"):
                return at_least(popularity, MAINSTREAM_FROM)
            case Popularity():
                little_seen = at_least(1 - popularity, 1 - HIDDEN_BELOW)
                return np.asarray(np.minimum(little_seen, at_least(acclaim, GOOD_FROM)), dtype=np.float32)
            case Acclaim("high"):
                return at_least(acclaim, ACCLAIMED_FROM)
            case Acclaim():
                return at_least(1 - acclaim, 1 - BAD_BELOW)
            case OwnTaste():
                if taste is None:
                    raise ValueError("this request is about the user's own taste, and none was given")
                known = [
                    (self._columns[genre], weight)
                    for genre, weight in zip(taste.genres, TASTE_WEIGHTS, strict=False)
                    if genre in self._columns
                ]
                columns, weights = [column for column, _ in known], [weight for _, weight in known]
                total = self.catalogue.genre_matrix[:, columns] @ np.array(weights, dtype=np.float32)  # (n, k) @ (k,)
                return np.asarray(np.minimum(total, 1), dtype=np.float32)
            case Words(text):
                raise ValueError(
                    f"the rule judge decides from facts, and {text!r} is none; the embedding judge takes words"
                )


def at_least(quantile: NDArray[np.float32], bound: float) -> NDArray[np.float32]:
    """(n,) 1 from the bound on; below it a near miss, smaller the further away."""
    return np.asarray(np.where(quantile >= bound, 1.0, NEAR_MISS * quantile / bound), dtype=np.float32)
