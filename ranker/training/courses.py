"""What a training is about: requests about the facts of a catalogue, and about whatever there are words for.

Taught the catalogue's facts alone, towers forget all that they are not asked about: on other words and other catalogues they
are then worse than the backbone that they came from. So some of the requests are about common words, over texts that are no
items of the catalogue, as an embedding model judges them: the untouched backbone itself or a stronger one.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ranker.catalogue import Catalogue, Item
from ranker.evaluate import Case, cases
from ranker.judges.embedding import Embed, EmbeddingJudge, FitCurve, TopicFits, calibrated
from ranker.judges.rule import RuleJudge
from ranker.requests import Category, Grammar
from ranker.requests.grammar import USUAL
from ranker.requests.spec import Spec, Words
from ranker.requests.vocabulary import common_words, things
from ranker.training.batches import Batches, Drawn

MOST_COLUMNS = 2048
OPEN_SHARE = 0.3
"""Of the requests, how many are about any words."""
WORDS, TEXTS = 3000, 3000
TOPICS, MANY_TOPICS = 4000, 7000
"""In a short training and in a long one, so that none is met often enough to be learned by heart."""
LOOKED_AT = 0.1
"""Of the words and of the texts, how many are no topics and no texts of training, to look at it with."""
SINGLE_WORDS = 0.5
"""Of the topics beside things that have names of several words and, where none are given, of the texts. The others are so many
words in a row: nonsense, but the backbone has a view of it, and there are more names than anybody wrote down."""
IN_TOPIC, IN_TEXT = (2, 3), (3, 10)
FACTUAL: tuple[Category, ...] = ("era", "topic_era", "popularity", "acclaim", "taste", "blend")
"""No text without facts, and hardly one that fits two words drawn by chance, satisfies one of these."""


class Scored(NamedTuple):
    """b requests, and what is said of k items."""

    texts: list[str]
    """As the request tower reads them."""
    rows: NDArray[np.int64]
    """(k,) the items, among all vectors of a training."""
    scores: NDArray[np.float32]
    """(b, 3, k) of each request as a whole, of what it wants and of what it refuses; NaN where nothing is said."""
    present: NDArray[np.float32]
    """(b, 2), 1 where something is wanted, where something is refused."""
    meant: NDArray[np.float32] | None = None
    """(b, 2, d) unit vectors of what is wanted and of what is refused, where they are known."""


class Source(Protocol):
    """Where requests come from, with what is said of them."""

    @property
    def share(self) -> float:
        """Of the requests, in proportion to the other sources'."""
        ...

    def begin(self, phase: str) -> None:
        """Draw what this phase has, whatever was drawn before."""
        ...

    def draw(self, size: int) -> Sequence[Any]:
        """The next requests, for `scored`."""
        ...

    def scored(self, drawn: Sequence[Any], items: int) -> Scored:
        """What is said of them; of so many items, drawn by chance, where it can be said of all."""
        ...


class Course(NamedTuple):
    """One kind of requests and the items that they are judged on."""

    batches: Batches
    columns: NDArray[np.int64]
    """(k,) of what the judge scores."""
    rows: NDArray[np.int64]
    """(k,) the same items, among all vectors of a training."""
    share: float
    """Of the requests."""
    meaning: Mapping[str, NDArray[np.float32]] | None = None
    """The untouched encoder's own vector (d,) of each topic, where requests are about nothing else."""

    def begin(self, phase: str) -> None:
        """Draw what this phase has, whatever was drawn before."""
        self.batches.begin(phase)

    def draw(self, size: int) -> list[Drawn]:
        """The next requests. Judged only when their turn comes: a training that goes on passes over those it has had."""
        return self.batches.draw(size)

    def scored(self, drawn: Sequence[Drawn], items: int) -> Scored:
        """What the judge says of some of the course's items."""
        judged = self.batches.judge(drawn)
        some = torch.randperm(len(self.rows))[:items].numpy()
        scores = np.concatenate([judged.scores[:, None], judged.sides], axis=1)[:, :, self.columns[some]]
        meant = None
        if self.meaning is not None:
            meant = np.stack([_meant(each.spec, self.meaning) for each in drawn])
        return Scored(judged.texts, self.rows[some], scores, judged.present, meant)


class Beyond(NamedTuple):
    """Texts that are no items, and topics to judge them by."""

    texts: list[str]
    topics: list[str]
    looked_at_texts: list[str]
    looked_at_topics: list[str]


def beyond(seed: int, texts: Sequence[str] = (), many: bool = False) -> Beyond:
    """Topics of common words and of names for things, and `texts` of any kind; without them, such as the words make.

    No word is in a topic to train with and in one to look with.
    """
    random = Random(seed)
    words = random.sample(vocabulary := common_words(), len(vocabulary))
    pool = list(texts) or _made_up(words[:WORDS], TEXTS, IN_TEXT, random)
    random.shuffle(pool)
    pool = pool[:TEXTS]
    text, looks = round(LOOKED_AT * len(pool)), round(LOOKED_AT * WORDS)
    looked_at, taught = words[:looks], words[looks:]
    named = [thing for thing in things() if not set(re.findall(r"[a-z]+", thing)) & set(looked_at)]
    return Beyond(
        pool[text:],
        named + _made_up(taught, (MANY_TOPICS if many else TOPICS) - len(named), IN_TOPIC, random),
        pool[:text],
        _made_up(looked_at, looks, IN_TOPIC, random),
    )


def open_course(
    texts: Sequence[str],
    words: Sequence[str],
    embed: Embed,
    curve: FitCurve,
    untouched: Embed,
    first_row: int,
    seed: int,
    without: Collection[Category] = (),
    usual: float = USUAL,
) -> Course | None:
    """Requests about words, judged on texts whose vectors lie from `first_row` on; none where `without` leaves none.

    `embed` is the judge's encoder, `untouched` what the towers start from."""
    if "topic" in without or {"either", "topic_without", "exclusion"} <= set(without):
        return None
    grammar, judge = _open(texts, words, embed, curve, usual)
    columns = np.random.default_rng(seed).permutation(len(texts))[:MOST_COLUMNS]
    batches = Batches(grammar, judge, [], seed, without={*FACTUAL, *without})
    meaning = dict(zip(words, untouched(words), strict=True))
    return Course(batches, columns, first_row + columns, OPEN_SHARE, meaning)


def open_cases(
    texts: Sequence[str],
    words: Sequence[str],
    embed: Embed,
    per_category: int,
    seed: int,
    without: Collection[Category] = (),
) -> list[Case]:
    """Requests about words in dev phrasings."""
    grammar, judge = _open(texts, words, embed, calibrated)
    return [
        case
        for case in cases(grammar, judge, [], "dev", per_category, seed)
        if case.category not in {*FACTUAL, *without}
    ]


def begin(sources: Sequence[Source], phase: str) -> None:
    """Draw what this phase has, whatever was drawn before."""
    for source in sources:
        source.begin(phase)


def draws(sources: Sequence[Source], size: int) -> Iterator[tuple[int, Sequence[Any]]]:
    """Requests of one source at a time, by their shares: which one, and `size` of them."""
    for place in turns([source.share for source in sources]):
        yield place, sources[place].draw(size)


def turns(shares: Sequence[float]) -> Iterator[int]:
    """Places in proportion to their shares, spread evenly: always the one that is furthest behind."""
    had = [0] * len(shares)
    while True:
        place = min(range(len(shares)), key=lambda each: ((had[each] + 1) / shares[each], each))
        had[place] += 1
        yield place


def _meant(spec: Spec, meaning: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """(2, d) of what is wanted and what is refused, the one for the other where there is one alone."""
    sides = [
        sum(meaning[fact.text] for fact in side if isinstance(fact, Words))
        for side in (spec.wanted or spec.refused, spec.refused or spec.wanted)
    ]
    return np.stack([side / max(float(np.linalg.norm(side)), 1e-9) for side in sides])


def _open(
    texts: Sequence[str], words: Sequence[str], embed: Embed, curve: FitCurve, usual: float = USUAL
) -> tuple[Grammar, EmbeddingJudge]:
    catalogue = Catalogue(tuple(Item(str(row), text) for row, text in enumerate(texts)))
    fits = TopicFits(texts, embed, curve)
    fits.prepare(words)
    return Grammar(catalogue, words, usual), EmbeddingJudge(RuleJudge(catalogue), fits)


def _made_up(words: Sequence[str], count: int, lengths: tuple[int, int], random: Random) -> list[str]:
    """Words, and rows of words of these lengths, `count` of both where there are words enough."""
    singles = round(SINGLE_WORDS * count)
    rows = [" ".join(random.sample(words, random.randint(*lengths))) for _ in range(count - singles)]
    return random.sample(words, min(singles, len(words))) + rows
