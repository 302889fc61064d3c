"""The requests that an export is measured on: in wordings no training has seen, some with a reader's taste."""

from functools import cache
from random import Random
from typing import NamedTuple

from ranker.data import Dataset
from ranker.errors import DataError
from ranker.requests import CATEGORIES, Grammar, Split
from ranker.requesttext import request_text
from ranker.taste import user_taste

EACH = 25
"""Requests of each category."""


class Asked(NamedTuple):
    """A request and what is told of the reader's taste beside it."""

    text: str
    context: str | None


def probe_requests(dataset: Dataset) -> list[str]:
    """The texts as the request tower reads them; of a catalogue without genres, its items' own titles."""
    drawn = draw_requests(dataset, "heldout", EACH)
    return list(dict.fromkeys(request_text(each.text, each.context) for each in drawn))


def draw_requests(dataset: Dataset, split: Split, each: int, told: float = 0.0) -> list[Asked]:
    """So many requests of each category in the phrasings of one split, in a fixed random order; a taste stands beside
    those that are about it, and a share `told` of the others. Of a catalogue without genres, about its items' titles."""
    rng = Random(0)  # noqa: S311 - a fixed sample, not a secret
    try:
        grammar = Grammar(dataset.catalogue)
    except DataError:
        items = dataset.catalogue.items
        return [Asked(f"more like {i.title}", None) for i in rng.sample(items, min(each * len(CATEGORIES), len(items)))]
    users = list(dataset.interactions.user_ids)
    taste = cache(lambda user: user_taste(dataset, user).text())
    drawn = []
    for category in CATEGORIES:
        for _ in range(each):
            request = grammar.draw(category, split, rng)
            tell = bool(users) and (category == "taste" or (told > 0 and rng.random() < told))
            drawn.append(Asked(request.text, taste(rng.choice(users)) if tell else None))
    rng.shuffle(drawn)
    return drawn
