"""Makes requests: picks facts that the catalogue can satisfy, names them, and puts them into a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

import numpy as np

from ranker.catalogue import Catalogue
from ranker.errors import DataError
from ranker.requests.shapes import BOTH, BUT_NOT, EITHER, PAIRS, Split
from ranker.requests.spec import Acclaim, Category, Era, Fact, OwnTaste, Popularity, Spec, Topic
from ranker.requests.words import (
    ACCLAIM_WORDS,
    MOOD_WORDS,
    NOUNS,
    POPULARITY_WORDS,
    TASTE_SENTENCES,
    TASTE_WORDS,
    era_words,
    topic_words,
)

T = TypeVar("T")
# Fewer items than this and a topic cannot be learned nor measured.
ENOUGH = 5


@dataclass(frozen=True, slots=True)
class Request:
    """What a reader may write, and what it means."""

    category: Category
    text: str
    spec: Spec


class Grammar:
    """Draws requests about one catalogue. Every draw takes its random numbers from the `Random` that it is given."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Raises DataError where the catalogue has not two genres that occur often enough."""
        counts = catalogue.genre_matrix.sum(axis=0)
        names = [genre for genre, count in zip(catalogue.genres, counts, strict=True) if count >= ENOUGH]
        if len(names) < 2:
            raise DataError(f"the catalogue has {len(names)} genres with {ENOUGH} items or more; requests need two")
        self.topics = [Topic((genre,)) for genre in names]
        self.topics += [Topic(genres) for genres in MOOD_WORDS if all(genre in names for genre in genres)]
        has = catalogue.genre_matrix.astype(np.int64)
        together = has.T @ has  # (genres, n) @ (n, genres) -> items with both
        columns = {genre: column for column, genre in enumerate(catalogue.genres)}
        self.pairs = [
            (Topic((first,)), Topic((second,)))
            for first in names
            for second in names
            if first != second and together[columns[first], columns[second]] >= ENOUGH
        ]
        years = catalogue.years[~np.isnan(catalogue.years)].astype(int)
        self.eras = _eras(years)
        in_era = {era: _within(catalogue.years, era) for era in self.eras}
        self.topic_eras = [
            (topic, era)
            for topic in self.topics
            for era in self.eras
            if catalogue.genre_matrix[in_era[era]][:, [columns[genre] for genre in topic.genres]].any(axis=1).sum()
            >= ENOUGH
        ]

    def draw(self, category: Category, split: Split, rng: Random) -> Request:
        """One request of a category, in the wording of one split."""
        refuse = rng.random() < 0.5
        match category:
            case "topic" | "exclusion":
                topic = rng.choice(self.topics)
                return self._single(category, topic, category == "exclusion", split, rng)
            case "blend" if self.pairs:
                pair = rng.choice(self.pairs)
                text = self._wish(self._joined(BOTH, pair, split, rng), split, rng)
                return Request(category, text, Spec(wanted=pair))
            case "blend" | "either":
                either = self._two(rng)
                text = self._wish(self._joined(EITHER, either, split, rng), split, rng)
                return Request("either", text, Spec(wanted=either, any_of=True))
            case "topic_without":
                wanted, refused = rng.choice(self.pairs) if self.pairs and rng.random() < 0.5 else self._two(rng)
                text = self._but_not(wanted, refused, split, rng)
                return Request(category, text, Spec((wanted,), (refused,)))
            case "era" if self.eras:
                return self._single(category, rng.choice(self.eras), refuse, split, rng)
            case "topic_era" if self.topic_eras:
                both = rng.choice(self.topic_eras)
                thing = f"{self.name(both[0], split, rng)} {rng.choice(era_words(both[1], split))}"
                return Request(category, self._wish(thing, split, rng), Spec(wanted=both))
            case "popularity":
                return self._single(category, rng.choice(list(POPULARITY_WORDS)), refuse, split, rng)
            case "acclaim":
                return self._single(category, rng.choice(list(ACCLAIM_WORDS)), refuse, split, rng)
            case "taste":
                if rng.random() < 0.5:
                    text = rng.choice(TASTE_SENTENCES[split])[refuse]
                    return Request(category, text, _spec(OwnTaste(), refuse))
                return self._single(category, OwnTaste(), refuse, split, rng)
            case _:  # a catalogue without years asks about topics instead
                return self._single("topic", rng.choice(self.topics), False, split, rng)

    def name(self, fact: Fact, split: Split, rng: Random) -> str:
        """One of the fact's names in a split."""
        match fact:
            case Topic():
                words = topic_words(fact)
            case Era():
                words = tuple(f"{{n}} {word}" for word in era_words(fact, split))
            case Popularity():
                words = POPULARITY_WORDS[fact][split]
            case Acclaim():
                words = ACCLAIM_WORDS[fact][split]
            case OwnTaste():
                words = TASTE_WORDS[fact][split]
        return rng.choice(words).replace("{n}", rng.choice(NOUNS[split]))

    def _single(self, category: Category, fact: Fact, refuse: bool, split: Split, rng: Random) -> Request:
        shape = rng.choice(PAIRS[split])[refuse]
        return Request(category, shape.format(x=self.name(fact, split, rng)), _spec(fact, refuse))

    def _wish(self, thing: str, split: Split, rng: Random) -> str:
        return rng.choice(PAIRS[split]).wish.format(x=thing)

    def _but_not(self, wanted: Topic, refused: Topic, split: Split, rng: Random) -> str:
        a, b = self.name(wanted, split, rng), self.name(refused, split, rng)
        if rng.random() < 0.7:
            return rng.choice(BUT_NOT[split]).format(a=a, b=b)
        sentences = [rng.choice(PAIRS[split]).wish.format(x=a), rng.choice(PAIRS[split]).refusal.format(x=b)]
        rng.shuffle(sentences)
        return rng.choice((", ", " and ", "; ")).join(sentences)

    def _joined(self, joints: dict[Split, tuple[str, ...]], pair: Sequence[Topic], split: Split, rng: Random) -> str:
        return rng.choice(joints[split]).format(a=self.name(pair[0], split, rng), b=self.name(pair[1], split, rng))

    def _two(self, rng: Random) -> tuple[Topic, Topic]:
        first = rng.choice(self.topics)
        others = [topic for topic in self.topics if not set(topic.genres) & set(first.genres)]
        return first, rng.choice(others)


def _spec(fact: Fact, refuse: bool) -> Spec:
    return Spec(refused=(fact,)) if refuse else Spec(wanted=(fact,))


def _eras(years: "np.ndarray[tuple[int], np.dtype[np.int_]]") -> list[Era]:
    """Every decade with enough items, and before and after every tenth year that splits the catalogue."""
    if not len(years):
        return []
    starts = range(int(years.min()) // 10 * 10, int(years.max()) + 1, 10)
    decades = [Era(start, start + 9) for start in starts]
    before = [Era(None, start - 1) for start in starts]
    since = [Era(start, None) for start in starts]
    counts = {era: int(_within(years.astype(np.float32), era).sum()) for era in (*decades, *before, *since)}
    return [era for era, count in counts.items() if ENOUGH <= count <= len(years) - ENOUGH]


def _within(
    years: "np.ndarray[tuple[int], np.dtype[np.float32]]", era: Era
) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    first, last = -np.inf if era.first is None else era.first, np.inf if era.last is None else era.last
    return (years >= first) & (years <= last)
