"""Judgment matrices: some requests, some items, and what the judge says of each pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from ranker.judges.rule import RuleJudge
from ranker.requests import Category, Grammar, Request, Split
from ranker.requesttext import request_text
from ranker.taste import Taste

# Half the draws are a wish and a refusal of the same thing, by what the thing is; the others are one request each.
MIRRORED = 0.5
TOLD = 0.25
"""How many requests that are not about the user's taste come with it all the same: a context must not hurt."""
SINGLE_FACTS: dict[Category, float] = {"topic": 0.4, "era": 0.15, "popularity": 0.1, "acclaim": 0.1, "taste": 0.25}
COMPOUND: dict[Category, float] = {
    "blend": 0.15,
    "either": 0.2,
    "topic_without": 0.35,
    "topic_era": 0.2,
    "exclusion": 0.1,
}


@dataclass(frozen=True)
class Batch:
    """r requests against n items of the catalogue."""

    texts: list[str]
    """What the request tower reads, r of them."""
    rows: NDArray[np.int64]
    """(n,) rows of the catalogue, each once."""
    judged: NDArray[np.float32]
    """(r, n) scores of the judge."""


class Batches:
    """Draws batches without end, the same ones for the same seed."""

    def __init__(
        self, grammar: Grammar, judge: RuleJudge, tastes: Sequence[Taste], seed: int, *, split: Split = "train"
    ) -> None:
        """`tastes` are those of the users to train with: requests about one's own taste are judged by them."""
        self._grammar, self._judge, self._split = grammar, judge, split
        self._tastes = [taste for taste in tastes if taste.genres]
        self._random = Random(seed)
        self._numpy = np.random.default_rng(seed)
        self._facts = {name: share for name, share in SINGLE_FACTS.items() if name != "taste" or self._tastes}

    def draw(self, requests: int, items: int, near: int = 2, *, shortest: int = 1) -> Batch:
        """One batch; each request brings `near` items that fit what it talks about, chance brings the rest.

        Of every request `shortest` wordings are drawn and the shortest is kept: "no horror" shows what "no" does more
        plainly than a long sentence, and costs a third of it.
        """
        texts: list[str] = []
        scores: list[NDArray[np.float32]] = []
        rows: list[int] = []
        for request in self._requests(requests, shortest):
            taste = self._random.choice(self._tastes) if self._tastes else None
            texts.append(self._text(request, taste))
            judged = self._judge.scores(request.spec, taste)
            scores.append(judged)
            rows += self._near(judged, self._judge.mentions(request.spec, taste), near)
        chosen = self._numpy.permutation(np.unique(np.array(rows, dtype=np.int64)))[:items]
        rest = np.setdiff1d(np.arange(len(scores[0])), chosen)
        extra = self._numpy.choice(rest, size=min(max(items - len(chosen), 0), len(rest)), replace=False)
        chosen = np.concatenate([chosen, extra])
        return Batch(texts, chosen, np.stack(scores)[:, chosen])

    def judgments(self, requests: int) -> NDArray[np.float32]:
        """(m, n) what the judge says of the whole catalogue under that many requests."""
        tastes: Sequence[Taste | None] = self._tastes or [None]
        return np.stack(
            [self._judge.scores(one.spec, self._random.choice(tastes)) for one in self._requests(requests, 1)]
        )

    def _requests(self, count: int, shortest: int) -> list[Request]:
        """Mirrored pairs next to each other, then compound requests."""
        pairs = round(count * MIRRORED / 2)
        drawn: list[Request] = []
        for category in self._random.choices(list(self._facts), list(self._facts.values()), k=pairs):
            fact = self._grammar.fact(category, self._random)
            wordings = [self._grammar.mirrored(fact, self._split, self._random) for _ in range(shortest)]
            wish, refusal = min(wordings, key=lambda pair: len(pair[0].text) + len(pair[1].text))
            drawn += [wish, refusal]
        rest = self._random.choices(list(COMPOUND), list(COMPOUND.values()), k=count - len(drawn))
        for category in rest:
            requests = [self._grammar.draw(category, self._split, self._random) for _ in range(shortest)]
            drawn.append(min(requests, key=lambda request: len(request.text)))
        return drawn

    def _text(self, request: Request, taste: Taste | None) -> str:
        """With the user's taste where the request is about it, and now and then where it should not matter."""
        if taste is None or not (request.spec.about_user or self._random.random() < TOLD):
            return request_text(request.text, None)
        return request_text(request.text, taste.text())

    def _near(self, judged: NDArray[np.float32], mentions: NDArray[np.float32], count: int) -> list[int]:
        """One item that is relevant, the others from all that the request talks about."""
        relevant, mentioned = np.flatnonzero(judged >= 0.5), np.flatnonzero(mentions >= 0.5)
        pools = [relevant, *[mentioned] * (count - 1)][:count]
        return [int(self._numpy.choice(pool)) for pool in pools if len(pool)]
