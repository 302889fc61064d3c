import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.catalogue import Catalogue, Item, RawItem, build_catalogue, item_text, quantiles
from ranker.errors import DataError


def test_the_text_says_every_fact_in_words() -> None:
    item = Item("7", "Alien", 1979, ("Horror", "Sci-Fi"), ratings=9, mean_rating=4.5, popularity=0.9, acclaim=0.95)
    assert item_text(item) == "Alien: horror sci-fi 1970s 1979 blockbuster acclaimed"


def test_the_text_leaves_out_what_is_unknown() -> None:
    assert item_text(Item("7", "Nameless", popularity=0.1, acclaim=0.3)) == "Nameless: obscure mediocre"


@given(st.floats(0, 1), st.floats(0, 1))
def test_every_quantile_has_its_words(popularity: float, acclaim: float) -> None:
    assert len(item_text(Item("1", "X", popularity=popularity, acclaim=acclaim)).split()) == 3


def test_popularity_and_acclaim_come_from_the_ratings() -> None:
    raw = [RawItem(str(number), f"T{number}", 1990, ()) for number in range(3)]
    rows = np.array([0, 0, 0, 1], dtype=np.int32)
    catalogue = build_catalogue(raw, rows, np.array([2, 2, 2, 5], dtype=np.float32))
    often, once, never = catalogue.items
    assert (often.ratings, once.ratings, never.ratings) == (3, 1, 0)
    assert often.popularity > once.popularity > never.popularity
    assert once.acclaim > never.acclaim > often.acclaim
    assert never.mean_rating is None
    # (3 · 2 + 5 · 2.75) / (3 + 5)
    assert often.mean_rating == pytest.approx(2.46875)


def test_an_id_twice_is_refused() -> None:
    with pytest.raises(DataError, match="more than once"):
        Catalogue((Item("1", "A"), Item("1", "B")))


def test_genre_columns_are_in_order_of_frequency() -> None:
    catalogue = Catalogue((Item("1", "A", genres=("War",)), Item("2", "B", genres=("Drama", "War")), Item("3", "C")))
    assert catalogue.genres == ("War", "Drama")
    assert catalogue.genre_matrix.tolist() == [[True, False], [True, True], [False, False]]


def test_the_digest_follows_the_text() -> None:
    one, other = Catalogue((Item("1", "A", 1990),)), Catalogue((Item("1", "A", 1991),))
    assert one.digest() == Catalogue((Item("1", "A", 1990),)).digest() != other.digest()


@given(st.lists(st.integers(-5, 5), min_size=1))
def test_quantiles_keep_the_order_and_average_a_half(values: list[int]) -> None:
    found = quantiles(np.array(values))
    assert found.mean() == pytest.approx(0.5)
    for left, below in zip(values, found, strict=True):
        for right, above in zip(values, found, strict=True):
            assert (left < right) == (below < above)
