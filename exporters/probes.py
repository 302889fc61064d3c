"""The requests that an export is measured on: in wordings no training has seen, some with a reader's taste."""

from random import Random

from ranker.data import Dataset
from ranker.errors import DataError
from ranker.requests import CATEGORIES, Grammar
from ranker.requesttext import request_text
from ranker.taste import user_taste

EACH = 25
"""Requests of each category."""


def probe_requests(dataset: Dataset) -> list[str]:
    """The texts as the request tower reads them; of a catalogue without genres, its items' own titles."""
    rng = Random(0)  # noqa: S311 - a fixed sample, not a secret
    try:
        grammar = Grammar(dataset.catalogue)
    except DataError:
        items = dataset.catalogue.items
        return [f"more like {item.title}" for item in rng.sample(items, min(EACH * len(CATEGORIES), len(items)))]
    users = list(dataset.interactions.user_ids)
    texts = []
    for category in CATEGORIES:
        for _ in range(EACH):
            request = grammar.draw(category, "heldout", rng)
            context = user_taste(dataset, rng.choice(users)).text() if category == "taste" and users else None
            texts.append(request_text(request.text, context))
    return list(dict.fromkeys(texts))
