import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.catalogue import Catalogue, Item
from ranker.judges import RuleJudge
from ranker.judges.rule import RELEVANT
from ranker.requests import CATEGORIES, Grammar
from ranker.requests.spec import Acclaim, Era, Fact, OwnTaste, Popularity, Spec, Topic
from ranker.taste import Taste
from tests.unit.small_data import small_dataset

CATALOGUE = Catalogue(
    (
        Item("0", "War drama", 1965, ("War", "Drama"), popularity=0.9, acclaim=0.9),
        Item("1", "War", 1972, ("War",), popularity=0.3, acclaim=0.9),
        Item("2", "Comedy", 1999, ("Comedy",), popularity=0.3, acclaim=0.1),
        Item("3", "Undated", None, ("Drama",), popularity=0.7, acclaim=0.5),
    )
)
JUDGE = RuleJudge(CATALOGUE)
WAR, DRAMA = Topic(("War",)), Topic(("Drama",))


def relevant(spec: Spec, taste: Taste | None = None) -> list[int]:
    return np.flatnonzero(JUDGE.scores(spec, taste) >= RELEVANT).tolist()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (Spec(wanted=(WAR,)), [0, 1]),
        (Spec(wanted=(WAR, DRAMA)), [0]),
        (Spec(wanted=(WAR, DRAMA), any_of=True), [0, 1, 3]),
        (Spec(refused=(WAR,)), [2, 3]),
        (Spec(refused=(WAR, DRAMA)), [2]),
        (Spec(wanted=(WAR,), refused=(DRAMA,)), [1]),
        (Spec(wanted=(Topic(("Nothing",)),)), []),
        (Spec(wanted=(Era(1960, 1969),)), [0]),
        (Spec(wanted=(Era(None, 1979),)), [0, 1]),
        (Spec(wanted=(Era(1970, None),)), [1, 2]),
        (Spec(refused=(Era(1960, 1969),)), [1, 2, 3]),
        (Spec(wanted=(Popularity("mainstream"),)), [0]),
        (Spec(wanted=(Popularity("hidden gem"),)), [1]),
        (Spec(wanted=(Acclaim("high"),)), [0, 1]),
        (Spec(wanted=(Acclaim("low"),)), [2]),
    ],
)
def test_what_is_relevant(spec: Spec, expected: list[int]) -> None:
    assert relevant(spec) == expected


def test_near_misses_are_graded() -> None:
    scores = JUDGE.scores(Spec(wanted=(Era(1960, 1969),)))
    assert 1 == scores[0] > scores[1] > scores[2] > scores[3] == 0


def test_taste_is_the_users_own() -> None:
    assert relevant(Spec(wanted=(OwnTaste(),)), Taste(("War", "Drama"))) == [0, 1, 3]
    assert relevant(Spec(refused=(OwnTaste(),)), Taste(("War", "Drama"))) == [2]
    assert relevant(Spec(wanted=(OwnTaste(),)), Taste(("Comedy",))) == [2]


def test_taste_without_a_taste_is_an_error() -> None:
    with pytest.raises(ValueError, match="own taste"):
        JUDGE.scores(Spec(wanted=(OwnTaste(),)))


SMALL = small_dataset()
GRAMMAR, SMALL_JUDGE = Grammar(SMALL.catalogue), RuleJudge(SMALL.catalogue)


@given(st.sampled_from(CATEGORIES), st.randoms(use_true_random=False))
def test_scores_are_shares_and_a_refusal_is_one_minus_the_wish(category: str, random: object) -> None:
    taste = Taste(("War",))
    request = GRAMMAR.draw(category, "train", random)  # type: ignore[arg-type]
    scores = SMALL_JUDGE.scores(request.spec, taste)
    assert scores.dtype == np.float32
    assert scores.shape == (len(SMALL.catalogue),)
    assert ((scores >= 0) & (scores <= 1)).all()
    facts: tuple[Fact, ...] = (*request.spec.wanted, *request.spec.refused)
    for fact in facts:
        wish, refusal = SMALL_JUDGE.scores(Spec((fact,)), taste), SMALL_JUDGE.scores(Spec((), (fact,)), taste)
        np.testing.assert_allclose(wish + refusal, 1, atol=1e-6)
