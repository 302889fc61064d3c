"""What a judge said once, of some items for each request: the triples of `ctrlrec synthesize`, to learn from.

A language model is too dear to be asked about the whole catalogue at every step; so it is asked ahead, and here its scores
are taken as they are.
"""

from collections.abc import Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray

from ranker.requesttext import request_text
from ranker.synthesis.read import Answered
from ranker.training.batches import TOLD
from ranker.training.courses import Scored

ENOUGH = 500
"""Questions from which on half of the requests are such; fewer have less, in proportion: they would be learned by heart."""


class Triples:
    """Draws questions without end, all of them in a new order each time round; the same ones for the same seed."""

    def __init__(self, questions: Sequence[Answered], others: float, seed: int) -> None:
        """`others` is the share of all other sources together."""
        self._questions, self._seed = questions, seed
        self.share = others * min(1.0, len(questions) / ENOUGH)
        self.begin("")

    def begin(self, phase: str) -> None:
        """Draw what this phase has, whatever was drawn before."""
        self._random, self._waiting = Random(f"{self._seed} {phase} triples"), list[Answered]()

    def draw(self, size: int) -> list[tuple[Answered, bool]]:
        """The next questions; and whether the reader's taste is told with each."""
        size = min(size, len(self._questions))
        while len(self._waiting) < size:
            self._waiting = self._random.sample(self._questions, len(self._questions)) + self._waiting
        drawn = [self._waiting.pop() for _ in range(size)]
        return [(question, question.about_user or self._random.random() < TOLD) for question in drawn]

    def scored(self, drawn: Sequence[tuple[Answered, bool]], _items: int) -> Scored:
        """What was said of all items of these questions."""
        rows = np.unique(np.concatenate([question.rows for question, _ in drawn]))
        scores = np.full((len(drawn), 3, len(rows)), np.nan, np.float32)
        for place, (question, _) in enumerate(drawn):
            scores[place][:, np.searchsorted(rows, question.rows)] = _by_side(question)
        return Scored(
            [request_text(question.request, question.context if told else None) for question, told in drawn],
            rows,
            scores,
            np.array([(question.wanted, question.refused) for question, _ in drawn], np.float32),
        )


def _by_side(question: Answered) -> NDArray[np.float32]:
    """(3, k) as a whole, what is wanted, what is refused: of a request with one side only that one twice, see `Judged`.

    Of one with two sides the judge said what they amount to, not what each of them is: NaN.
    """
    whole = question.scores
    if question.wanted and question.refused:
        return np.stack([whole, np.full_like(whole, np.nan), np.full_like(whole, np.nan)])
    side = 1 - whole if question.refused else whole
    return np.stack([whole, side, side])
