from pathlib import Path

import pytest

from ranker.data import Dataset, load_dataset
from ranker.errors import DataError


def flags(*places: int) -> str:
    return "|".join("1" if place in places else "0" for place in range(19))


def grouplens_100k(directory: Path) -> None:
    lines = [
        f"1|Toy Story (1995)|01-Jan-1995||http://x|{flags(3, 4, 5)}",
        f"2|Godfather, The (1972)|01-Jan-1972||http://x|{flags(1, 6, 8)}",
        f"3|Misérables, Les (1995)|01-Jan-1995||http://x|{flags(8)}",
        f"4|unknown||||{flags(0)}",
    ]
    (directory / "u.item").write_bytes("\n".join(lines).encode("latin-1"))
    (directory / "u.data").write_text("7\t2\t5\t881250949\n7\t1\t3\t881250940\n9\t2\t4\t881250000\n")


def grouplens_csv(directory: Path) -> None:
    (directory / "movies.csv").write_text(
        "movieId,title,genres\n"
        "1,Toy Story (1995),Animation|Children|Comedy\n"
        '2,"Godfather, The (1972)",Action|Crime|Drama\n'
        '3,"Misérables, Les (1995)",Drama\n'
        "4,unknown,(no genres listed)\n"
    )
    (directory / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n7,2,5.0,881250949\n7,1,3.0,881250940\n9,2,4.0,881250000\n"
    )


def recbole(directory: Path) -> None:
    (directory / "ml-100k.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "1\tToy Story\t1995\tAnimation Children's Comedy\n"
        "2\tGodfather, The\t1972\tAction Crime Drama\n"
        "3\tMisérables, Les\t1995\tDrama\n"
        "4\tunknown\tunkonwn\tunknown\n"
    )
    (directory / "ml-100k.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        "7\t2\t5\t881250949\n7\t1\t3\t881250940\n9\t2\t4\t881250000\n"
    )


@pytest.fixture(params=[grouplens_100k, grouplens_csv, recbole])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    place = tmp_path / "ml"
    place.mkdir()
    request.param(place)
    return load_dataset(tmp_path)


def test_every_layout_gives_the_same_items(dataset: Dataset) -> None:
    assert [(item.item_id, item.title, item.year, item.genres) for item in dataset.catalogue.items] == [
        ("1", "Toy Story", 1995, ("Animation", "Children", "Comedy")),
        ("2", "The Godfather", 1972, ("Action", "Crime", "Drama")),
        ("3", "Les Misérables", 1995, ("Drama",)),
        ("4", "unknown", None, ()),
    ]


def test_every_layout_gives_the_same_interactions(dataset: Dataset) -> None:
    columns = dataset.interactions
    assert columns.user_ids == ("7", "9")
    # By user, then by time.
    assert columns.user_rows.tolist() == [0, 0, 1]
    assert columns.item_rows.tolist() == [0, 1, 1]
    assert columns.ratings.tolist() == [3, 5, 4]
    assert columns.timestamps.tolist() == [881250940, 881250949, 881250000]


def test_the_latest_interactions_can_be_held_out(dataset: Dataset) -> None:
    before, after = dataset.interactions.hold_out_last(1)
    assert before.item_rows.tolist() == [0]
    assert after.item_rows.tolist() == [1, 1]
    assert len(before) + len(after) == len(dataset.interactions)


def test_an_empty_directory_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ctrlrec data"):
        load_dataset(tmp_path)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    grouplens_csv(tmp_path)
    (tmp_path / "ratings.csv").write_text("userId,movieId,stars,timestamp\n7,2,5.0,1\n")
    with pytest.raises(DataError, match=r"ratings.csv.*'rating'"):
        load_dataset(tmp_path)


def test_a_rating_that_is_no_number_is_refused(tmp_path: Path) -> None:
    grouplens_csv(tmp_path)
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n7,2,good,1\n")
    with pytest.raises(DataError, match="no number"):
        load_dataset(tmp_path)


def test_a_rating_of_an_unknown_item_is_refused(tmp_path: Path) -> None:
    grouplens_csv(tmp_path)
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n7,1,2,1\n7,99,2,1\n")
    with pytest.raises(DataError, match=r"row 2: item '99'"):
        load_dataset(tmp_path)


def test_an_unknown_user_is_refused(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="'nobody'"):
        dataset.interactions.of_user("nobody")
