"""Five small catalogues of other things than films: recipes, podcasts, courses, products, news.

Written for `ctrlrec evaluate unlike` and used for nothing else; no training and no choice looks at it. One author wrote the
texts, the topics, their names and which text has which topic. A text may have several topics of its domain, and seldom says
a topic's name.
"""

from functools import cache
from importlib.resources import files
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text of a domain, and the topics of that domain that it is about."""

    domain: str
    text: str
    topics: tuple[str, ...]


class Topic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A topic of a domain, and what readers may call it."""

    domain: str
    topic: str
    names: tuple[str, ...]


@cache
def items() -> tuple[Item, ...]:
    """All items, domain by domain."""
    return _lines("items.jsonl", Item)


@cache
def topics() -> tuple[Topic, ...]:
    """All topics, domain by domain."""
    return _lines("topics.jsonl", Topic)


def _lines(name: str, kind: type[T]) -> tuple[T, ...]:
    return tuple(msgspec.json.Decoder(kind).decode_lines(files(__package__).joinpath(name).read_bytes()))
