"""What a judge is asked, and what every judge can do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ranker.judges.compose import Scores
from ranker.requests.grammar import Request
from ranker.requests.spec import Fact, Spec
from ranker.taste import Taste


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """How well do these items, rows of the catalogue (k,), match this request of a user with this taste?"""

    request: Request
    taste: Taste | None
    rows: NDArray[np.intp]


class Judge(Protocol):
    """Scores items, a few for each of many requests."""

    @property
    def name(self) -> str: ...

    def judge(self, questions: Sequence[Question]) -> list[Scores]:
        """(k,) float32 in [0, 1] for the k items of each question; NaN where the judge gave no score."""
        ...


class CatalogueJudge(Judge, Protocol):
    """A judge that knows what a request means, and scores the whole catalogue at once."""

    def scores(self, spec: Spec, taste: Taste | None = None) -> Scores:
        """(n,) float32 in [0, 1], rows as in the catalogue."""
        ...

    def fit(self, fact: Fact, taste: Taste | None = None) -> Scores:
        """(n,) float32 in [0, 1]: how well each item fits one fact."""
        ...
