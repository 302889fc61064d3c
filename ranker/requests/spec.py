"""What a request means, apart from its words: facts that are wanted and facts that are refused."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Category: TypeAlias = Literal[
    "topic",
    "blend",
    "either",
    "exclusion",
    "topic_without",
    "era",
    "topic_era",
    "popularity",
    "acclaim",
    "taste",
]
CATEGORIES: tuple[Category, ...] = get_args(Category)


@dataclass(frozen=True, slots=True)
class Topic:
    """Items of any of these genres."""

    genres: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Era:
    """Items of these years, both ends included; None leaves an end open."""

    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class Popularity:
    """What many watch, or what few watch although it is good."""

    kind: Literal["mainstream", "hidden gem"]


@dataclass(frozen=True, slots=True)
class Acclaim:
    """Rated high, or rated low."""

    kind: Literal["high", "low"]


@dataclass(frozen=True, slots=True)
class OwnTaste:
    """Items of the genres that the asking user usually watches."""


@dataclass(frozen=True, slots=True)
class Words:
    """A topic in words of its own, that no catalogue fact names: pirates, chess, growing up in a small town."""

    text: str


Subject: TypeAlias = Topic | Words
Fact: TypeAlias = Subject | Era | Popularity | Acclaim | OwnTaste


@dataclass(frozen=True, slots=True)
class Spec:
    """Fits compose: all wanted facts (or, with `any_of`, at least one) and none of the refused ones."""

    wanted: tuple[Fact, ...] = ()
    refused: tuple[Fact, ...] = ()
    any_of: bool = False

    @property
    def about_user(self) -> bool:
        """Whether it takes the user's history to judge this."""
        return any(isinstance(fact, OwnTaste) for fact in (*self.wanted, *self.refused))
