"""Judgment matrices: some requests, some items, and what the judge says of each pair."""

from collections.abc import Collection, Sequence
from random import Random
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranker.errors import DataError
from ranker.judges.question import CatalogueJudge
from ranker.requests import Category, Grammar, Request, Split
from ranker.requests.spec import Spec, Topic, Words
from ranker.requesttext import request_text
from ranker.taste import Taste

# Half the draws are a wish and a refusal of one thing, by what the thing is; the others are one request each, of every
# category and of none. Were there as many refusals as wishes, whatever is in doubt would be half refused, and readers wish
# more often.
MIRRORED = 0.5
TOLD = 0.25
"""How many requests that are not about the user's taste come with it all the same: a context must not hurt."""
SINGLE_FACTS: dict[Category, float] = {"topic": 0.3, "era": 0.15, "popularity": 0.15, "acclaim": 0.15, "taste": 0.25}
ALONE: dict[Category, float] = {
    "topic": 0.1,
    "era": 0.08,
    "popularity": 0.12,
    "acclaim": 0.12,
    "taste": 0.12,
    "blend": 0.08,
    "either": 0.08,
    "topic_without": 0.15,
    "topic_era": 0.08,
    "exclusion": 0.07,
}
IN_VAIN = 1000
"""Draws of what is left out, one after the other, before it is said that there is nothing else."""
COMPOUND = 0.15
"""Of the requests that are one each, how many want one thing and refuse another of another kind, "something old but nothing
that everybody has seen": in none of the ten categories, but said by readers all the same."""


class Drawn(NamedTuple):
    """One request, as the request tower reads it, and by whom."""

    text: str
    spec: Spec
    taste: Taste | None


class Judged(NamedTuple):
    """m requests and the judge's word on n items."""

    texts: list[str]
    """As the request tower reads them."""
    scores: NDArray[np.float32]
    """(m, n) of the requests."""
    sides: NDArray[np.float32]
    """(m, 2, n): how well items fit what is wanted, and what is refused; of a request with one side only, that one twice."""
    present: NDArray[np.float32]
    """(m, 2), 1 where something is wanted, where something is refused."""


class Batches:
    """Draws requests without end, the same ones for the same seed."""

    def __init__(
        self,
        grammar: Grammar,
        judge: CatalogueJudge,
        tastes: Sequence[Taste],
        seed: int,
        *,
        split: Split = "train",
        without: Collection[Category] = (),
    ) -> None:
        """`tastes` are those of the users to train with: requests about one's own taste are judged by them.

        A category in `without` is never drawn; without exclusions, wishes come without their refusals, and nothing is refused
        beside a wish but a topic beside a topic. Raises DataError where nothing would be left to draw.
        """
        self._grammar, self._judge, self._split = grammar, judge, split
        self._tastes = [taste for taste in tastes if taste.genres]
        self._seed, self._random = seed, Random(seed)
        self._without = frozenset(without)
        self._facts = {
            name: share
            for name, share in SINGLE_FACTS.items()
            if name not in self._without and (name != "taste" or self._tastes)
        }
        self._alone = {
            name: share
            for name, share in ALONE.items()
            if name not in self._without and (name != "taste" or self._tastes)
        }
        if not self._facts or self._alone.keys() <= SINGLE_FACTS.keys():
            raise DataError(
                f"training without {', '.join(sorted(self._without))}: leave one of {', '.join(SINGLE_FACTS)} "
                f"and one of {', '.join(name for name in ALONE if name not in SINGLE_FACTS)} in it"
            )
        self._compound = COMPOUND if len(self._facts) > 1 and "exclusion" not in self._without else 0

    def begin(self, phase: str) -> None:
        """Draw what this phase of a training has, whatever was drawn before."""
        self._random = Random(f"{self._seed} {phase}")

    def state(self) -> tuple[Any, ...]:
        """How far the draws have come, for `resume`."""
        return self._random.getstate()

    def resume(self, state: tuple[Any, ...]) -> None:
        """Go on with the draws from there."""
        self._random.setstate(state)

    def draw(self, requests: int) -> list[Drawn]:
        """The next requests, not judged yet."""
        drawn: list[Drawn] = []
        for text, spec in self._requests(requests):
            taste = self._random.choice(self._tastes) if self._tastes else None
            drawn.append(Drawn(self._with_taste(text, spec, taste), spec, taste))
        return drawn

    def judge(self, drawn: Sequence[Drawn]) -> Judged:
        """What the judge says of the whole catalogue."""
        scores: list[NDArray[np.float32]] = []
        sides: list[NDArray[np.float32]] = []
        for _, spec, taste in drawn:
            scores.append(self._judge.scores(spec, taste))
            wanted = Spec(spec.wanted or spec.refused, any_of=spec.any_of or not spec.wanted)
            refused = Spec(spec.refused, any_of=True) if spec.refused else wanted
            sides.append(np.stack([self._judge.scores(side, taste) for side in (wanted, refused)]))
        present = np.array([(bool(spec.wanted), bool(spec.refused)) for _, spec, _ in drawn], dtype=np.float32)
        return Judged([text for text, _, _ in drawn], np.stack(scores), np.stack(sides), present)

    def judged(self, requests: int) -> Judged:
        """The next requests, and what the judge says of the whole catalogue."""
        return self.judge(self.draw(requests))

    def _requests(self, count: int) -> list[tuple[str, Spec]]:
        """Mirrored pairs next to each other, then the others; some more are drawn for what is left out."""
        drawn: list[Request] = []
        pairs = round(count * MIRRORED / 2)
        for category in self._random.choices(list(self._facts), list(self._facts.values()), k=pairs):
            drawn += self._grammar.mirrored(self._grammar.fact(category, self._random), self._split, self._random)
        said = [(request.text, request.spec) for request in drawn if request.category not in self._without]
        in_vain = 0
        while len(said) < count and in_vain < IN_VAIN:
            compound = self._random.random() < self._compound
            more = self._one_without_another() if compound else self._one()
            said += more
            in_vain = 0 if more else in_vain + 1
        if len(said) < count:
            raise DataError(
                f"training without {', '.join(sorted(self._without))}: this catalogue has no requests of other categories"
            )
        return said

    def _one(self) -> list[tuple[str, Spec]]:
        """One request; none where the catalogue cannot satisfy its category, and what is drawn instead is left out."""
        (category,) = self._random.choices(list(self._alone), list(self._alone.values()))
        request = self._grammar.draw(category, self._split, self._random)
        return [(request.text, request.spec)] if request.category not in self._without else []

    def _one_without_another(self) -> list[tuple[str, Spec]]:
        """One request that refuses a fact of another kind than it wants; none where that came to what is left out, or to a
        topic without a topic, which is a category."""
        kinds = self._random.sample(list(self._facts), 2)
        wanted, refused = (self._grammar.fact(kind, self._random) for kind in kinds)
        # An era is drawn as a topic where years are not known.
        wants_topic, refuses_topic = (isinstance(fact, Topic | Words) for fact in (wanted, refused))
        if wants_topic and (refuses_topic or "topic_without" in self._without):
            return []
        if (wants_topic or refuses_topic) and "topic" in self._without:
            return []
        spec = Spec((wanted,), (refused,))
        return [(self._grammar.phrased(spec, self._split, self._random), spec)]

    def _with_taste(self, text: str, spec: Spec, taste: Taste | None) -> str:
        """With the user's taste where the request is about it, and now and then where it should not matter."""
        if taste is None or not (spec.about_user or self._random.random() < TOLD):
            return request_text(text, None)
        return request_text(text, taste.text())
