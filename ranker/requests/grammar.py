"""Makes requests: picks facts that the catalogue can satisfy, names them, and puts them into a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

import numpy as np

from ranker.catalogue import Catalogue
from ranker.errors import DataError
from ranker.requests.frames import AFTER, BEFORE, FRAMES
from ranker.requests.phrasings import Pair, Split, bare, held_out, pairs, phrasings
from ranker.requests.spec import Acclaim, Category, Era, Fact, OwnTaste, Popularity, Spec, Subject, Topic, Words
from ranker.requests.words import MOOD_WORDS, era_words, names

T = TypeVar("T")
# Fewer items than this and a topic cannot be learned nor measured.
ENOUGH = 5
FRAMED = 0.1
"""Of the shapes in training, how many are put together from a frame."""
USUAL = 1.3
"""In training, how much the usual phrasings, which come first in their file, are preferred: 1 is not at all; with 1.3 the first
tenth has a sixth of the draws, with 3 nearly half."""
TWO_REFUSED = 0.1
"""Of the refusals, how many are about two topics at once."""
OPEN = 0.5
"""Of the topics, how many are words of the open vocabulary, where there is one."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a reader may write, and what it means."""

    category: Category
    text: str
    spec: Spec


class Grammar:
    """Draws requests about one catalogue. Every draw takes its random numbers from the `Random` that it is given."""

    def __init__(self, catalogue: Catalogue, words: Sequence[str] = (), usual: float = USUAL) -> None:
        """With `words`, topics of an open vocabulary, half the topics are drawn from them; all of them where the catalogue has
        not two genres that occur often enough. `usual` as USUAL. Raises DataError where there are neither.
        """
        self._usual = usual
        self.words = [Words(word) for word in words]
        counts = catalogue.genre_matrix.sum(axis=0)
        names = [genre for genre, count in zip(catalogue.genres, counts, strict=True) if count >= ENOUGH]
        if len(names) < 2 and len(words) < 2:
            raise DataError(f"the catalogue has {len(names)} genres with {ENOUGH} items or more; requests need two")
        names = names if len(names) > 1 else []
        self.topics = [Topic((genre,)) for genre in names]
        self.topics += [Topic(genres) for genres in MOOD_WORDS if set(genres) < set(names)]
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
        match category:
            case "blend" if self.pairs:
                pair: tuple[Subject, Subject] = self._two(rng) if self._open(rng) else rng.choice(self.pairs)
                text = self._wish(self._joined("both", pair, split, rng), split, rng)
                return Request(category, text, Spec(wanted=pair))
            case "blend" | "either":
                either = self._two(rng)
                text = self._wish(self._joined("either", either, split, rng), split, rng)
                return Request("either", text, Spec(wanted=either, any_of=True))
            case "topic_without":
                wanted, refused = rng.choice(self.pairs) if self.pairs and rng.random() < 0.5 else self._two(rng)
                text = self._but_not(wanted, refused, split, rng)
                return Request(category, text, Spec((wanted,), (refused,)))
            case "topic_era" if self.topic_eras:
                both: tuple[Subject, Era] = rng.choice(self.topic_eras)
                if self._open(rng):
                    both = (rng.choice(self.words), both[1])
                return Request(category, self._wish(self._in_era(*both, split, rng), split, rng), Spec(wanted=both))
            case "taste":
                return rng.choice(self.mirrored(OwnTaste(), split, rng))
            case "exclusion" if rng.random() < TWO_REFUSED:
                return self._two_refused(split, rng)
            case _:
                return self.mirrored(self.fact(category, rng), split, rng)[category == "exclusion"]

    def phrased(self, spec: Spec, split: Split, rng: Random) -> str:
        """One way of saying what a spec means; the spec has a form that `draw` gives, or wants one fact and
        refuses one, of whatever kinds. Raises ValueError for any other."""
        match spec:
            case Spec((fact,), (), _):
                return self._shape(split, rng).wish.format(x=self.name(fact, split, rng))
            case Spec((), refused, _) if refused:
                name = " or ".join(self.name(fact, split, rng) for fact in refused)
                return self._shape(split, rng).refusal.format(x=name)
            case Spec((wanted,), (refused,), _):
                return self._but_not(wanted, refused, split, rng)
            case Spec((Topic() | Words() as topic, Era() as era), (), False):
                return self._wish(self._in_era(topic, era, split, rng), split, rng)
            case Spec((Topic() | Words() as first, Topic() | Words() as second), (), any_of):
                joined = self._joined("either" if any_of else "both", (first, second), split, rng)
                return self._wish(joined, split, rng)
        raise ValueError(f"no request has the form of {spec}")

    def mirrored(self, fact: Fact, split: Split, rng: Random) -> tuple[Request, Request]:
        """A wish and a refusal of the same thing in the same shape: only what makes it a refusal differs."""
        category, refusal = _CATEGORY[type(fact)]
        if isinstance(fact, OwnTaste) and rng.random() < 0.5:
            wish, no = self._phrased(pairs("taste_sentences", split), split, rng)
        else:
            shape, name = self._shape(split, rng), self.name(fact, split, rng)
            wish, no = shape.wish.format(x=name), shape.refusal.format(x=name)
            if split == "train" and {bare(wish), bare(no)} & held_out("taste_sentences"):
                wish, no = self._phrased(pairs("taste_sentences", split), split, rng)
        return Request(category, wish, Spec(wanted=(fact,))), Request(refusal, no, Spec(refused=(fact,)))

    def name(self, fact: Fact, split: Split, rng: Random) -> str:
        """One of the fact's names in a split."""
        return self._phrased(names(fact, split), split, rng).replace("{n}", rng.choice(phrasings("nouns", split)))

    def _phrased(self, options: Sequence[T], split: Split, rng: Random) -> T:
        place = rng.random()
        return options[int(len(options) * (place**self._usual if split == "train" else place))]

    def _two_refused(self, split: Split, rng: Random) -> Request:
        both = self._two(rng)
        name = " or ".join(self.name(topic, split, rng) for topic in both)
        return Request("exclusion", self._shape(split, rng).refusal.format(x=name), Spec(refused=both))

    def fact(self, category: Category, rng: Random) -> Fact:
        """Something that a category of one fact is about."""
        match category:
            case "era" if self.eras:
                return rng.choice(self.eras)
            case "popularity":
                return rng.choice((Popularity("mainstream"), Popularity("hidden gem")))
            case "acclaim":
                return rng.choice((Acclaim("high"), Acclaim("low")))
            case "taste":
                return OwnTaste()
            case _:  # a catalogue without years asks about topics instead
                return self._subject(rng)

    def _open(self, rng: Random) -> bool:
        return bool(self.words) and (not self.topics or rng.random() < OPEN)

    def _subject(self, rng: Random) -> Subject:
        return rng.choice(self.words) if self._open(rng) else rng.choice(self.topics)

    def _shape(self, split: Split, rng: Random) -> Pair:
        """One of the written shapes or, in training, now and then one put together from a frame."""
        if split == "train" and rng.random() < FRAMED:
            frame = rng.choice(FRAMES)
            before, after = rng.choice(BEFORE), rng.choice(AFTER)
            wish, refusal = (f"{before}{frame.sentence}{after}".replace("{w}", rng.choice(side)) for side in frame[1:])
            if not {bare(wish), bare(refusal)} & held_out("pairs"):
                return Pair(wish, refusal)
        return self._phrased(pairs("pairs", split), split, rng)

    def _wish(self, thing: str, split: Split, rng: Random) -> str:
        return self._shape(split, rng).wish.format(x=thing)

    def _in_era(self, topic: Subject, era: Era, split: Split, rng: Random) -> str:
        return f"{self.name(topic, split, rng)} {self._phrased(era_words(era, split), split, rng)}"

    def _but_not(self, wanted: Fact, refused: Fact, split: Split, rng: Random) -> str:
        a, b = self.name(wanted, split, rng), self.name(refused, split, rng)
        if rng.random() >= 0.7:
            sentences = [self._shape(split, rng).wish.format(x="{a}"), self._shape(split, rng).refusal.format(x="{b}")]
            rng.shuffle(sentences)
            joined = rng.choice((", ", " and ", "; ")).join(sentences)
            if split != "train" or bare(joined) not in held_out("but_not"):
                return joined.format(a=a, b=b)
        return self._phrased(phrasings("but_not", split), split, rng).format(a=a, b=b)

    def _joined(self, joints: str, pair: Sequence[Subject], split: Split, rng: Random) -> str:
        return self._phrased(phrasings(joints, split), split, rng).format(
            a=self.name(pair[0], split, rng), b=self.name(pair[1], split, rng)
        )

    def _two(self, rng: Random) -> tuple[Subject, Subject]:
        """Two that have no genre in common."""
        first = self._subject(rng)
        if self._open(rng) and (words := [word for word in self.words if word != first]):
            return first, rng.choice(words)
        taken = set(first.genres) if isinstance(first, Topic) else set()
        return first, rng.choice([topic for topic in self.topics if not taken & set(topic.genres)])


# The category of a wish for such a fact, and that of a refusal.
_CATEGORY: dict[type[Fact], tuple[Category, Category]] = {
    Topic: ("topic", "exclusion"),
    Words: ("topic", "exclusion"),
    Era: ("era", "exclusion"),
    Popularity: ("popularity", "exclusion"),
    Acclaim: ("acclaim", "exclusion"),
    OwnTaste: ("taste", "taste"),
}


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
