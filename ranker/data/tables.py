"""A platform's own catalogue and interactions, as Parquet or CSV.

`items.parquet` or `items.csv`
    item_id  text, unique         title   text
    year     integer, optional    genres  list of text, or one text with bars ("Drama|War"), optional
`interactions.parquet` or `interactions.csv`
    user_id  text                 item_id    text, one of the items
    rating   number, optional     timestamp  integer, seconds since 1970, optional

Ids may be integers; they become text. Other columns are ignored. Without ratings every interaction counts 1, and acclaim
then says nothing.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from ranker.catalogue import RawItem
from ranker.data.dataset import Dataset, build_dataset
from ranker.errors import DataError


def read_tables(directory: Path) -> Dataset:
    """Both tables of a directory. Raises DataError naming file, column and row (1 is the first row of data)."""
    path = find_table(directory, "items")
    table = _read(path, required=("item_id", "title"))
    ids, titles = _texts(table, "item_id", path), _texts(table, "title", path)
    seen: dict[str, int] = {}
    for number, item_id in enumerate(ids, start=1):
        if seen.setdefault(item_id, number) != number:
            raise DataError(f"{path}: column item_id, row {number}: {item_id!r} is already in row {seen[item_id]}")
    years, genres = _years(table, path), _genres(table, path)
    items = [RawItem(*values) for values in zip(ids, titles, years, genres, strict=True)]

    path = find_table(directory, "interactions")
    table = _read(path, required=("user_id", "item_id"))
    return build_dataset(
        items,
        np.array(_texts(table, "user_id", path), dtype=np.str_),
        np.array(_texts(table, "item_id", path), dtype=np.str_),
        np.array(_numbers(table, "rating", path, 1.0), dtype=np.float32),
        np.array(_numbers(table, "timestamp", path, 0.0), dtype=np.int64),
        str(path),
    )


def find_table(directory: Path, stem: str) -> Path:
    """The Parquet or, failing that, the CSV file of this name. Raises DataError where there is neither."""
    for suffix in (".parquet", ".csv"):
        path = directory / f"{stem}{suffix}"
        if path.is_file():
            return path
    raise DataError(f"{directory}: neither {stem}.parquet nor {stem}.csv is there")


def _read(path: Path, required: tuple[str, ...]) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            # Ids such as 007 must stay text; numbers are parsed below, where a bad one can be named with its row.
            head = pacsv.open_csv(path).schema.names
            options = pacsv.ConvertOptions(column_types=dict.fromkeys(head, pa.string()), strings_can_be_null=True)
            table = pacsv.read_csv(path, convert_options=options)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    for name in required:
        if name not in table.column_names:
            raise DataError(f"{path}: column {name} is missing; it has {', '.join(table.column_names)}")
    return table


def _values(table: pa.Table, name: str) -> list[Any]:
    return table[name].to_pylist() if name in table.column_names else [None] * table.num_rows


def _texts(table: pa.Table, name: str, path: Path) -> list[str]:
    values = _values(table, name)
    for number, value in enumerate(values, start=1):
        if value is None or str(value).strip() == "":
            raise DataError(f"{path}: column {name}, row {number}: is empty")
        if not isinstance(value, str | int):
            raise DataError(f"{path}: column {name}, row {number}: {value!r} is neither text nor an integer")
    return [str(value) for value in values]


def _numbers(table: pa.Table, name: str, path: Path, default: float) -> list[float]:
    numbers: list[float] = []
    for row, value in enumerate(_values(table, name), start=1):
        try:
            number = default if value is None else float(value)
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: column {name}, row {row}: {value!r} is no number") from error
        if not math.isfinite(number):
            raise DataError(f"{path}: column {name}, row {row}: {value!r} is not finite")
        numbers.append(number)
    return numbers


def _years(table: pa.Table, path: Path) -> list[int | None]:
    values = _values(table, "year")
    years: list[int | None] = []
    for row, (value, number) in enumerate(zip(values, _numbers(table, "year", path, 0.0), strict=True), start=1):
        if number != int(number):
            raise DataError(f"{path}: column year, row {row}: {value!r} is no whole year")
        years.append(None if value is None else int(number))
    return years


def _genres(table: pa.Table, path: Path) -> list[tuple[str, ...]]:
    genres: list[tuple[str, ...]] = []
    for row, value in enumerate(_values(table, "genres"), start=1):
        if value is None:
            names: list[Any] = []
        elif isinstance(value, str):
            names = value.split("|")
        elif isinstance(value, list):
            names = value
        else:
            raise DataError(f"{path}: column genres, row {row}: {value!r} is neither a list nor text")
        if not all(isinstance(name, str) for name in names):
            raise DataError(f"{path}: column genres, row {row}: {value!r} holds something that is no text")
        genres.append(tuple(dict.fromkeys(name.strip() for name in names if name.strip())))
    return genres
