"""Wishes and their refusals, of anything that there is a name for.

Whether a thing is wanted hangs on words that have nothing to do with the thing, and there are more of those than a catalogue
has facts. So they are heard in short requests of which no item is scored: which sides there are is all that is asked.
"""

from collections.abc import Collection, Sequence
from random import Random

import numpy as np

from ranker.requests import Category, Grammar, Request
from ranker.requesttext import request_text
from ranker.taste import Taste
from ranker.training.batches import SINGLE_FACTS
from ranker.training.courses import Scored

AT_ONCE = 2
"""Times what other sources are asked for."""
TWO_SIDED = 0.2
"""How many want one thing and refuse another: were all of one side, there would seem to be no others."""
TOLD = 0.1
"""How many come with a reader's taste: it must not hurt, and is longer than most of them."""


class Mirrors:
    """Draws pairs of requests without end, the same ones for the same seed."""

    def __init__(
        self,
        grammars: Sequence[Grammar],
        tastes: Sequence[Taste],
        share: float,
        seed: int,
        without: Collection[Category],
    ) -> None:
        """Things are drawn by `grammars` in turn, facts or words. No category in `without` is drawn: not to be used without
        exclusions, of which every second request is one.
        """
        self._grammars, self._tastes, self.share, self._seed = grammars, tastes, share, seed
        self._facts = {name: often for name, often in SINGLE_FACTS.items() if name not in without}
        self._two_sided = TWO_SIDED if "topic_without" not in without else 0.0
        self.begin("")

    def begin(self, phase: str) -> None:
        """Draw what this phase has, whatever was drawn before."""
        self._random = Random(f"{self._seed} {phase} mirrors")

    def draw(self, size: int) -> list[tuple[Request, str | None]]:
        """The next requests, and the reader's taste where it is told: wishes before their refusals, then those of two sides."""
        random, pairs = self._random, size * AT_ONCE // 2
        facts, often, grammars = list(self._facts), list(self._facts.values()), self._grammars
        drawn: list[Request] = []
        for place, category in enumerate(random.choices(facts, often, k=pairs - round(self._two_sided * pairs))):
            grammar = grammars[place % len(grammars)]
            drawn += grammar.mirrored(grammar.fact(category, random), "train", random)
        for place in range(2 * pairs - len(drawn)):
            drawn.append(grammars[place % len(grammars)].draw("topic_without", "train", random))
        return [(request, self._taste()) for request in drawn]

    def _taste(self) -> str | None:
        return self._random.choice(self._tastes).text() if self._tastes and self._random.random() < TOLD else None

    def scored(self, drawn: Sequence[tuple[Request, str | None]], _items: int) -> Scored:
        """Which sides they have; nothing of any item."""
        return Scored(
            [request_text(request.text, taste) for request, taste in drawn],
            np.empty(0, np.int64),
            np.empty((len(drawn), 3, 0), np.float32),
            np.array([(bool(each.spec.wanted), bool(each.spec.refused)) for each, _ in drawn], np.float32),
        )
