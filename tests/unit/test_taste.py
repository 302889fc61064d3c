import pytest

from ranker.errors import DataError
from ranker.requesttext import request_text
from ranker.taste import Taste, user_taste
from tests.unit.small_data import GENRES, small_dataset


def test_the_genre_that_a_user_rates_highest_comes_first() -> None:
    dataset = small_dataset(items=200, users=10)
    found = [user_taste(dataset, f"u{user}").genres[0] for user in range(10)]
    assert sum(genre == GENRES[user % len(GENRES)] for user, genre in enumerate(found)) >= 8


def test_the_text_of_a_taste() -> None:
    assert Taste(("War", "Drama", "Film-Noir")).text() == "usually watches war, drama and film-noir"
    assert Taste(("War",)).text() == "usually watches war"
    assert Taste().text() is None


def test_an_unknown_user_is_refused() -> None:
    with pytest.raises(DataError):
        user_taste(small_dataset(), "stranger")


@pytest.mark.parametrize("context", [None, "", "  "])
def test_a_request_without_context_is_the_text_alone(context: str | None) -> None:
    assert request_text("  no   horror\n", context) == "no horror"


def test_a_request_with_context() -> None:
    assert request_text("more", "usually  watches war") == "more | reader usually watches war"
