"""The items of a platform and what is known of each: the facts a judge decides by and the text the item tower reads."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranker.errors import DataError

# Upper bounds of the quantiles, lowest first; the words are what the item tower reads.
POPULARITY_WORDS = ((0.30, "obscure"), (0.60, "unknown"), (0.80, "popular"), (1.01, "blockbuster"))
ACCLAIM_WORDS = ((0.25, "bad"), (0.55, "mediocre"), (0.80, "good"), (1.01, "acclaimed"))
# A mean over few ratings says little: it is pulled towards the catalogue's mean as if by this many average ratings.
PRIOR_RATINGS = 5.0


class RawItem(NamedTuple):
    """An item as a reader finds it, before popularity and acclaim are known."""

    item_id: str
    title: str
    year: int | None
    genres: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """One item with its facts.

    `ratings` is how many interactions it has, `mean_rating` their damped mean (None without any), `popularity` and
    `acclaim` the quantiles of the two over the catalogue, 0 to 1, higher is more.
    """

    item_id: str
    title: str
    year: int | None = None
    genres: tuple[str, ...] = ()
    ratings: int = 0
    mean_rating: float | None = None
    popularity: float = 0.0
    acclaim: float = 0.5


def item_text(item: Item) -> str:
    """What the item tower reads of an item: title, genres, year, decade, popularity and acclaim, all in words.

    Short and with next to no punctuation on purpose: the item tower's time goes into the length of this text.
    """
    facts = [genre.lower() for genre in item.genres]
    if item.year is not None:
        facts += [f"{item.year // 10 * 10}s", str(item.year)]
    facts += [bucket(item.popularity, POPULARITY_WORDS), bucket(item.acclaim, ACCLAIM_WORDS)]
    return f"{item.title}: {' '.join(facts)}"


def bucket(quantile: float, words: Sequence[tuple[float, str]]) -> str:
    """The word of the first bound that the quantile lies below."""
    return next(word for bound, word in words if quantile < bound)


@dataclass(frozen=True)
class Catalogue:
    """All items, in a fixed order: the row of an item is its place here. Raises DataError where an id occurs twice."""

    items: tuple[Item, ...]
    row_of: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rows = {item.item_id: row for row, item in enumerate(self.items)}
        if len(rows) != len(self.items):
            raise DataError(f"the catalogue holds {len(self.items) - len(rows)} item ids more than once")
        object.__setattr__(self, "row_of", rows)

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def genres(self) -> tuple[str, ...]:
        """Every genre that occurs, most frequent first."""
        counts: dict[str, int] = {}
        for item in self.items:
            for genre in item.genres:
                counts[genre] = counts.get(genre, 0) + 1
        return tuple(sorted(counts, key=lambda genre: (-counts[genre], genre)))

    @cached_property
    def genre_matrix(self) -> NDArray[np.bool_]:
        """(n, genres) whether an item has a genre; columns as in `genres`."""
        column = {genre: place for place, genre in enumerate(self.genres)}
        matrix = np.zeros((len(self.items), len(column)), dtype=np.bool_)
        for row, item in enumerate(self.items):
            for genre in item.genres:
                matrix[row, column[genre]] = True
        return matrix

    @cached_property
    def years(self) -> NDArray[np.float32]:
        """(n,) release years, NaN where unknown."""
        return np.array([np.nan if item.year is None else item.year for item in self.items], dtype=np.float32)

    @cached_property
    def popularity(self) -> NDArray[np.float32]:
        """(n,) quantiles of popularity."""
        return np.array([item.popularity for item in self.items], dtype=np.float32)

    @cached_property
    def acclaim(self) -> NDArray[np.float32]:
        """(n,) quantiles of the damped mean rating."""
        return np.array([item.acclaim for item in self.items], dtype=np.float32)

    def texts(self) -> list[str]:
        """The text of every item, in row order."""
        return [item_text(item) for item in self.items]

    def digest(self) -> str:
        """sha256 over ids and texts: the same digest means the same item vectors under the same tower."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(f"{item.item_id}\t{item_text(item)}\n".encode())
        return digest.hexdigest()


def build_catalogue(raw: Iterable[RawItem], item_rows: NDArray[np.int32], ratings: NDArray[np.float32]) -> Catalogue:
    """Items with popularity and acclaim worked out from (m,) interactions: the item's row and the rating given."""
    raw = list(raw)
    size = len(raw)
    counts = np.bincount(item_rows, minlength=size)
    sums = np.bincount(item_rows, weights=ratings, minlength=size)
    overall = float(ratings.mean()) if len(ratings) else 0.0
    means = (sums + PRIOR_RATINGS * overall) / (counts + PRIOR_RATINGS)
    popularity, acclaim = quantiles(counts), quantiles(means)
    return Catalogue(
        tuple(
            Item(
                *item,
                ratings=int(counts[row]),
                mean_rating=float(means[row]) if counts[row] else None,
                popularity=float(popularity[row]),
                acclaim=float(acclaim[row]),
            )
            for row, item in enumerate(raw)
        )
    )


def quantiles(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """(n,) share of the values that are smaller, ties counted half: 0.5 throughout where all are equal."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    upto = np.searchsorted(ordered, values, side="right")
    return np.asarray((below + upto) / 2 / max(len(values), 1), dtype=np.float64)
