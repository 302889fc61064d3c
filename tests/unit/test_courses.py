"""What a training is about besides the catalogue: words over texts that are no items."""

from collections.abc import Sequence
from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from ranker.errors import DataError
from ranker.judges.embedding import as_it_is, calibrated
from ranker.requests import Category, Grammar
from ranker.requests.spec import Words
from ranker.requests.vocabulary import things
from tests.unit.small_data import small_dataset

pytest.importorskip("torch")

from ranker.training.courses import (
    FACTUAL,
    LOOKED_AT,
    TEXTS,
    TOPICS,
    WORDS,
    Course,
    beyond,
    draws,
    open_cases,
    open_course,
    turns,
)

POOL = [f"{word} {other}" for word in ("harbour", "lantern", "orchard") for other in ("songs", "letters", "thieves")]
ASKED = ["harbour", "lantern", "orchard", "songs", "letters"]


def by_letters(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors that are near where two texts share letters."""
    counts = np.array([[text.count(chr(97 + letter)) for letter in range(26)] for text in texts], dtype=np.float32)
    return np.asarray(counts / np.linalg.norm(counts, axis=1, keepdims=True), dtype=np.float32)


def test_courses_take_turns_by_their_shares() -> None:
    order = list(islice(turns([0.75, 0.25]), 80))
    assert order.count(0) == 60
    # Spread evenly: never two of the rarer one in a row.
    assert all(1 in order[start : start + 4] and order[start : start + 4].count(1) == 1 for start in range(0, 80, 4))


def test_what_training_is_looked_at_with_it_never_sees() -> None:
    made = beyond(seed=3)
    assert len(made.topics) == TOPICS
    assert len(made.texts) + len(made.looked_at_texts) == TEXTS
    assert len(made.looked_at_topics) == round(LOOKED_AT * WORDS)
    words, looked_at = ({word for topic in topics for word in topic.split()} for topics in made[1::2])
    assert not words & looked_at
    assert not set(made.texts) & set(made.looked_at_texts)
    assert TOPICS / 2 < len(set(things()) & set(made.topics)) < TOPICS
    assert beyond(seed=3) == made != beyond(seed=4)
    given = [f"text {number}" for number in range(200)]
    assert sorted([*(own := beyond(3, given)).texts, *own.looked_at_texts]) == sorted(given)


def test_a_course_of_words_asks_about_words_and_is_judged_on_its_texts() -> None:
    course = open_course(POOL, ASKED, by_letters, as_it_is, by_letters, first_row=100, seed=1)
    assert course is not None
    assert sorted(course.columns) == list(range(len(POOL)))
    assert (course.rows == course.columns + 100).all()
    drawn = next(draws([course], 200))[1]
    facts = {fact for each in drawn for fact in (*each.spec.wanted, *each.spec.refused)}
    assert facts == {Words(topic) for topic in ASKED}
    judged = course.batches.judge(drawn)
    wish = next(
        row for row, each in enumerate(drawn) if each.spec.wanted == (Words("harbour"),) and not each.spec.refused
    )
    assert {POOL[place].split()[0] for place in np.argsort(-judged.scores[wish])[:3]} == {"harbour"}


def test_a_course_of_words_says_what_the_untouched_encoder_makes_of_them() -> None:
    course = open_course(POOL, ASKED, by_letters, as_it_is, by_letters, first_row=0, seed=1)
    assert course is not None
    drawn = course.draw(200)
    meant = course.scored(drawn, len(POOL)).meant
    assert meant is not None
    for each, (wanted, refused) in zip(drawn, meant, strict=True):
        for side, facts in (
            (wanted, each.spec.wanted or each.spec.refused),
            (refused, each.spec.refused or each.spec.wanted),
        ):
            along = by_letters([fact.text for fact in facts if isinstance(fact, Words)]).sum(axis=0)
            np.testing.assert_allclose(side, along / np.linalg.norm(along), atol=1e-6)
    factual = Course(course.batches, course.columns, course.rows, 1.0)
    assert factual.scored(drawn, len(POOL)).meant is None


def test_what_is_left_out_is_left_out_of_words_too() -> None:
    def course(*without: Category) -> Course | None:
        return open_course(POOL, ASKED, by_letters, as_it_is, by_letters, first_row=0, seed=1, without=without)

    left = course("exclusion", "topic_without")
    assert left is not None
    assert not any(each.spec.refused for each in left.batches.draw(200))
    assert course("topic") is None
    assert course("either", "exclusion", "topic_without") is None
    looks = open_cases(POOL, ASKED, by_letters, per_category=3, seed=2, without=["exclusion"])
    assert {case.category for case in looks} <= {"topic", "either", "topic_without"}


def test_the_looks_are_in_dev_phrasings_of_what_words_can_be_asked() -> None:
    cases = open_cases(POOL, ASKED, by_letters, per_category=3, seed=2)
    assert cases
    assert not {case.category for case in cases} & set(FACTUAL)


def test_an_encoders_own_order_is_kept_to_the_last() -> None:
    near = np.linspace(-0.2, 0.9, 40, dtype=np.float32)[None]
    kept, fits = as_it_is(near)[0], calibrated(near)[0]
    assert (np.diff(kept) > 0).all()
    assert kept.mean() == pytest.approx(0.5, abs=1e-4)
    assert (np.argsort(fits) == np.argsort(kept)).all()
    assert not as_it_is(np.full((1, 5), 0.3, np.float32)).any()


def test_without_genres_it_takes_words() -> None:
    catalogue = type(small_dataset().catalogue)(())
    with pytest.raises(DataError, match="requests need two"):
        Grammar(catalogue)
    assert Grammar(catalogue, ASKED).topics == []
