from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from ranker.data import load_dataset
from ranker.errors import DataError

ITEMS: dict[str, list[object]] = {
    "item_id": ["007", "b"],
    "title": ["Dr. No", "Brazil"],
    "year": [1962, None],
    "genres": ["Action|Thriller", None],
}
INTERACTIONS: dict[str, list[object]] = {
    "user_id": ["u", "u"],
    "item_id": ["b", "007"],
    "rating": [4.0, 2.0],
    "timestamp": [20, 10],
}
Write = Callable[[dict[str, list[object]], Path, str], None]


def parquet(columns: dict[str, list[object]], directory: Path, stem: str) -> None:
    pq.write_table(pa.table(columns), directory / f"{stem}.parquet")


def csv(columns: dict[str, list[object]], directory: Path, stem: str) -> None:
    pacsv.write_csv(pa.table(columns), directory / f"{stem}.csv")


@pytest.mark.parametrize("write", [parquet, csv])
def test_both_formats_say_the_same(write: Write, tmp_path: Path) -> None:
    write(dict(ITEMS), tmp_path, "items")
    write(dict(INTERACTIONS), tmp_path, "interactions")
    dataset = load_dataset(tmp_path)
    assert [(item.item_id, item.title, item.year, item.genres) for item in dataset.catalogue.items] == [
        ("007", "Dr. No", 1962, ("Action", "Thriller")),
        ("b", "Brazil", None, ()),
    ]
    assert dataset.interactions.item_rows.tolist() == [0, 1]
    assert dataset.interactions.ratings.tolist() == [2, 4]


def test_lists_of_genres_and_integer_ids(tmp_path: Path) -> None:
    parquet({"item_id": [1, 2], "title": ["A", "B"], "genres": [["War", "War", " Drama "], []]}, tmp_path, "items")
    parquet({"user_id": [5], "item_id": [2]}, tmp_path, "interactions")
    dataset = load_dataset(tmp_path)
    assert dataset.catalogue.items[0].genres == ("War", "Drama")
    assert dataset.interactions.user_ids == ("5",)
    assert dataset.interactions.ratings.tolist() == [1]


@pytest.mark.parametrize(
    ("table", "column", "values", "message"),
    [
        ("items", "item_id", ["a", "a"], r"items.parquet: column item_id, row 2: 'a' is already in row 1"),
        ("items", "title", ["A", ""], r"items.parquet: column title, row 2: is empty"),
        ("items", "year", ["1962", "soon"], r"items.parquet: column year, row 2: 'soon' is no number"),
        ("items", "year", [1962.5, 1.0], r"items.parquet: column year, row 1: 1962.5 is no whole year"),
        ("items", "genres", [1, 2], r"items.parquet: column genres, row 1: 1 is neither"),
        ("interactions", "rating", ["4", "good"], r"interactions.parquet: column rating, row 2: 'good' is no number"),
        (
            "interactions",
            "rating",
            [4.0, float("nan")],
            r"interactions.parquet: column rating, row 2: nan is not finite",
        ),
        ("interactions", "item_id", ["b", "zz"], r"interactions.parquet: column item_id, row 2: item 'zz' is not in"),
    ],
)
def test_errors_name_file_column_and_row(
    table: str, column: str, values: list[object], message: str, tmp_path: Path
) -> None:
    tables = {"items": dict(ITEMS), "interactions": dict(INTERACTIONS)}
    tables[table][column] = values
    for stem, columns in tables.items():
        parquet(columns, tmp_path, stem)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path)


def test_a_missing_column_and_a_missing_file_are_named(tmp_path: Path) -> None:
    parquet({"item_id": ["a"], "name": ["A"]}, tmp_path, "items")
    with pytest.raises(DataError, match=r"column title is missing; it has item_id, name"):
        load_dataset(tmp_path)
    parquet(dict(ITEMS), tmp_path, "items")
    with pytest.raises(DataError, match=r"neither interactions.parquet nor interactions.csv"):
        load_dataset(tmp_path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "items.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"items.parquet: cannot be read"):
        load_dataset(tmp_path)
