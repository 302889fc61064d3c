"""The judge of topics in any words: by a sentence encoder stronger than the towers' own backbone.

How near a topic and an item lie says little by itself: every topic has its own mean and spread over the items. So the cosine
becomes a z-score over the pool of items, and that a fit by a logistic curve: 0.5 at 1.3 deviations above the topic's mean,
which about a tenth of the items reach.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ranker.catalogue import Item
from ranker.judges.compose import Scores, compose
from ranker.judges.question import Question
from ranker.judges.rule import RuleJudge
from ranker.requests.spec import Fact, Spec, Topic, Words
from ranker.requests.words import topic_words
from ranker.taste import Taste

STEEPNESS, MIDDLE = 4.0, 1.3
"""Of the logistic curve, per deviation, and in deviations above the mean."""
AT_ONCE = 256
"""Topics whose fits are worked out in one product."""
Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""n texts to (n, d) unit vectors."""


FitCurve = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""(topics, n) cosines to (topics, n) fits in [0, 1]."""


class Remembered:
    """An encoder that reads each text once."""

    def __init__(self, embed: Embed) -> None:
        self._embed, self._vectors = embed, dict[str, NDArray[np.float32]]()

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) unit vectors."""
        if new := [text for text in dict.fromkeys(texts) if text not in self._vectors]:
            self._vectors.update(zip(new, self._embed(new), strict=True))
        return np.stack([self._vectors[text] for text in texts])


class TopicFits:
    """How well each text of a pool fits a topic in any words."""

    def __init__(self, texts: Sequence[str], embed: Embed, curve: FitCurve | None = None) -> None:
        """`curve` makes fits of cosines, `calibrated` unless given."""
        self._embed, self._curve = embed, curve or calibrated
        self._vectors = embed(texts)
        self._fits: dict[str, Scores] = {}

    def __len__(self) -> int:
        return len(self._vectors)

    def fit(self, topic: str) -> Scores:
        """(n,) float32 in [0, 1], in the order of the texts; 0 throughout where all texts lie equally near."""
        if topic not in self._fits:
            self.prepare([topic])
        return self._fits[topic]

    def prepare(self, topics: Sequence[str]) -> None:
        """Work out many topics at once, which is faster than one by one."""
        new = [topic for topic in dict.fromkeys(topics) if topic not in self._fits]
        for start in range(0, len(new), AT_ONCE):
            some = new[start : start + AT_ONCE]
            near = self._embed(some) @ self._vectors.T  # (topics, d) @ (d, n) -> (topics, n)
            self._fits.update(zip(some, self._curve(near), strict=True))


def calibrated(near: NDArray[np.float32]) -> NDArray[np.float32]:
    """(topics, n) cosines to (topics, n) fits: 1 / (1 + exp(-4 (z - 1.3))), z over the n items of each topic."""
    z, flat = _standardised(near)
    return np.asarray(np.where(flat, 0, 1 / (1 + np.exp(-STEEPNESS * (z - MIDDLE)))), dtype=np.float32)


def as_it_is(near: NDArray[np.float32]) -> NDArray[np.float32]:
    """(topics, n) cosines to (topics, n) fits on a straight line, so that an encoder's own order is kept down to the last
    item: 0.5 at a topic's mean, 1 at three deviations above."""
    z, flat = _standardised(near)
    return np.asarray(np.where(flat, 0, np.clip(0.5 + z / 6, 0, 1)), dtype=np.float32)


def _standardised(near: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(topics, n) z-scores within each topic, and (topics, 1) whether all its cosines are the same."""
    deviation = near.std(axis=1, keepdims=True)
    flat = deviation < 1e-6
    return (near - near.mean(axis=1, keepdims=True)) / np.where(flat, 1, deviation), flat


class EmbeddingJudge:
    """Topics by their words, all other facts as the rule judge has them."""

    name = "embedding"

    def __init__(self, rule: RuleJudge, topics: TopicFits, *, genres_by_words: bool = False) -> None:
        """`topics` over the `topic_text` of the catalogue's items, in row order.

        A genre is a fact of the catalogue; with `genres_by_words` it is judged by its name instead, as for a catalogue
        without genres, or to see how far this judge is to be believed.
        """
        assert len(topics) == len(rule.catalogue)
        self._rule, self._topics, self._genres_by_words = rule, topics, genres_by_words

    def scores(self, spec: Spec, taste: Taste | None = None) -> Scores:
        """(n,) float32 in [0, 1], rows as in the catalogue. Raises ValueError where a taste is needed and missing."""
        return compose(spec, lambda fact: self.fit(fact, taste), len(self._topics))

    def judge(self, questions: Sequence[Question]) -> list[Scores]:
        """The scores of each question's items."""
        self._topics.prepare([words for asked in questions for words in self._spoken(asked.request.spec)])
        return [self.scores(asked.request.spec, asked.taste)[asked.rows] for asked in questions]

    def fit(self, fact: Fact, taste: Taste | None = None) -> Scores:
        """(n,) float32 in [0, 1]: how well each item fits one fact."""
        if isinstance(fact, Words):
            return self._topics.fit(fact.text)
        if isinstance(fact, Topic) and self._genres_by_words:
            return self._topics.fit(spoken(fact))
        return self._rule.fit(fact, taste)

    def _spoken(self, spec: Spec) -> list[str]:
        facts = (*spec.wanted, *spec.refused)
        genres = [spoken(fact) for fact in facts if isinstance(fact, Topic) and self._genres_by_words]
        return genres + [fact.text for fact in facts if isinstance(fact, Words)]


def spoken(topic: Topic) -> str:
    """What a genre is called."""
    return topic_words(topic)[0].replace("{n}", "movies")


def topic_text(item: Item) -> str:
    """What this judge reads of an item: what it is about, without year, popularity and acclaim, which are facts."""
    genres = ", ".join(genre.lower() for genre in item.genres)
    return f"{item.title} ({genres})" if genres else item.title
