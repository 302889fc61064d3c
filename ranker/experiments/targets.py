"""Where a user would like their feed to be, and what they could try to get there: filters, or words."""

from collections.abc import Sequence
from itertools import combinations, permutations, product
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranker.data import Dataset
from ranker.experiments.profiles import FACETS, Facet, Facts, Rows, distance
from ranker.requests import Grammar, Spec
from ranker.requests.spec import Acclaim, Fact, Popularity

Kind = Literal["taste", "genre and era"]
FEWEST_LIKED = 10
"""A user with fewer liked items on either side of the split is no target: the distance to so few is mostly chance."""
FEED = 20
"""Items that a feed shows."""


class Target(NamedTuple):
    """A profile to move to."""

    kind: Kind
    name: str
    facets: tuple[Facet, ...]
    known: Rows
    """The items that filters and requests are written and chosen by."""
    held_out: Rows
    """The items that the distance is measured to."""


class Filter(NamedTuple):
    """What a traditional control offers: one genre or any, one decade or any. Columns of `Facts.shares`."""

    genre: int | None
    decade: int | None


def taste_targets(dataset: Dataset, users: Sequence[str]) -> list[Target]:
    """What each user rated at least as high as their own mean: the earlier half known, the later half held out."""
    found = []
    for user in users:
        span = dataset.interactions.of_user(user)
        rows, ratings = dataset.interactions.item_rows[span], dataset.interactions.ratings[span]
        liked = rows[ratings >= ratings.mean()].astype(np.intp)
        early, late = np.array_split(liked, 2)
        if len(late) >= FEWEST_LIKED:
            found.append(Target("taste", f"user {user}", FACETS, early, late))
    return found


def era_targets(grammar: Grammar, dataset: Dataset, facts: Facts) -> list[Target]:
    """Every genre in every decade with enough items."""
    catalogue, found = dataset.catalogue, []
    for topic, era in grammar.topic_eras:
        if len(topic.genres) > 1 or era.first is None or era.last is None:
            continue
        column = catalogue.genres.index(topic.genres[0])
        has = (facts.shares["genre"][:, column] > 0) & (catalogue.years >= era.first) & (catalogue.years <= era.last)
        rows = np.flatnonzero(has)
        found.append(Target("genre and era", f"{topic.genres[0]}, {era.first}s", ("genre", "decade"), rows, rows))
    return found


def all_filters(facts: Facts) -> list[Filter]:
    """Every combination of one genre or any with one decade or any, apart from any of both."""
    genres, decades = facts.shares["genre"].shape[1], len(facts.decades)
    chosen = [Filter(genre, decade) for genre in (None, *range(genres)) for decade in (None, *range(decades))]
    return chosen[1:]


def all_requests(grammar: Grammar) -> list[Spec]:
    """Everything that training's requests ask for and that is not about the asking user's own taste."""
    singles = [topic for topic in grammar.topics if len(topic.genres) == 1]
    facts: list[Fact] = [
        *grammar.topics,
        *grammar.eras,
        Popularity("mainstream"),
        Popularity("hidden gem"),
        Acclaim("high"),
    ]
    specs = [Spec((fact,)) for fact in facts] + [Spec(refused=(fact,)) for fact in (*facts, Acclaim("low"))]
    specs += [Spec(pair) for pair in grammar.pairs] + [Spec(both) for both in grammar.topic_eras]
    specs += [Spec((topic, other), any_of=True) for topic, other in combinations(singles, 2)]
    specs += [Spec((topic,), (other,)) for topic, other in permutations(singles, 2)]
    of_two_kinds = product(facts, (*facts, Acclaim("low")))
    return specs + [
        Spec((wanted,), (refused,)) for wanted, refused in of_two_kinds if type(wanted) is not type(refused)
    ]


def passing(facts: Facts, chosen: Filter) -> NDArray[np.bool_]:
    """(n,) the items that a filter lets through."""
    genre, decade = facts.shares["genre"], facts.shares["decade"]
    passes = np.ones(len(genre), np.bool_)
    if chosen.genre is not None:
        passes &= genre[:, chosen.genre] > 0
    if chosen.decade is not None:
        passes &= decade[:, chosen.decade] > 0
    return passes


class Offers:
    """Options, and what a user tries of them who knows what they want and what the words and filters mean."""

    def __init__(self, facts: Facts, meant: NDArray[np.bool_]) -> None:
        """`meant` (m, n) are the items that fit each option. Those that fit fewer than a feed shows are left out."""
        self._facts = facts
        self._enough = np.flatnonzero(meant.sum(axis=1) >= FEED)
        profiles = [facts.profile(np.flatnonzero(meant[row]), FACETS) for row in self._enough]
        self._profiles = {
            facet: np.stack([each[place] for each in profiles]) for place, facet in enumerate(FACETS) if profiles
        }

    def nearest(self, target: Target, tries: int) -> NDArray[np.intp]:
        """Rows of the `tries` options, fewer where there are not so many, whose profile is nearest to what is known of the
        target."""
        if not len(self._enough):
            return self._enough
        far = distance(
            [self._profiles[facet] for facet in target.facets], self._facts.profile(target.known, target.facets)
        )
        return self._enough[np.argsort(far, kind="stable")[:tries]]
