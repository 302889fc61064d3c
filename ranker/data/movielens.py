"""MovieLens in the three layouts it is passed around in; all come out as the same Dataset."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from ranker.catalogue import RawItem
from ranker.data.dataset import Dataset, build_dataset
from ranker.errors import DataError

# u.item of ml-100k has one column per genre, in this order, after five others.
GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
YEAR_SUFFIX = re.compile(r"\s*\((\d{4})\)\s*$")
TRAILING_ARTICLE = re.compile(
    r"^(?P<name>.+), (?P<article>The|A|An|Les|Le|La|L'|Il|El|Das|Der|Die)(?P<rest>\s*\(.*\))?$"
)


def read_grouplens_100k(directory: Path) -> Dataset:
    """ml-100k as GroupLens packs it: `u.item` (Latin-1, bars) and `u.data` (tabs, no header)."""
    path = directory / "u.item"
    columns = [f"column {number}" for number in range(1, 25)]
    table = _read(path, columns, "|", encoding="latin-1")
    flags = np.array([table[name].to_pylist() for name in columns[5:]]).T == "1"  # (items, 19)
    items = [
        _item(item_id, title, [genre for genre, flag in zip(GENRES_100K, row, strict=True) if flag])
        for item_id, title, row in zip(table[columns[0]].to_pylist(), table[columns[1]].to_pylist(), flags, strict=True)
    ]
    ratings = directory / "u.data"
    return _join(items, _read(ratings, ["user", "item", "rating", "timestamp"], "\t"), ratings)


def read_grouplens_csv(directory: Path) -> Dataset:
    """ml-latest-small, ml-25m, ml-32m: `movies.csv` and `ratings.csv` with headers."""
    path = directory / "movies.csv"
    table = _read(path, None, ",", expect=("movieId", "title", "genres"))
    items = [
        _item(item_id, title, genres.split("|"))
        for item_id, title, genres in zip(
            *(table[name].to_pylist() for name in ("movieId", "title", "genres")), strict=True
        )
    ]
    ratings = directory / "ratings.csv"
    table = _read(ratings, None, ",", expect=("userId", "movieId", "rating", "timestamp"))
    return _join(items, table.rename_columns(["user", "item", "rating", "timestamp"]), ratings)


def read_recbole(directory: Path) -> Dataset:
    """ml-100k as recbole ships it: `.item` and `.inter`, tabs, headers of the form `name:type`."""
    path = directory / "ml-100k.item"
    names = ("item_id:token", "movie_title:token_seq", "release_year:token", "class:token_seq")
    table = _read(path, None, "\t", expect=names)
    items = [
        _item(item_id, title, genres.split(), year)
        for item_id, title, year, genres in zip(*(table[name].to_pylist() for name in names), strict=True)
    ]
    ratings = directory / "ml-100k.inter"
    names = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
    table = _read(ratings, None, "\t", expect=names)
    return _join(items, table.rename_columns(["user", "item", "rating", "timestamp"]), ratings)


def _item(item_id: str, title: str, genres: list[str], year: str | None = None) -> RawItem:
    """Year out of the title, "Godfather, The" the right way round, one spelling of a genre in all layouts."""
    found = YEAR_SUFFIX.search(title)
    if found:
        title, year = title[: found.start()], found[1]
    article = TRAILING_ARTICLE.match(title.strip())
    if article:
        joint = "" if article["article"].endswith("'") else " "
        title = article["article"] + joint + article["name"] + (article["rest"] or "")
    known = tuple(
        "Children" if genre == "Children's" else genre
        for genre in genres
        if genre and genre not in ("unknown", "(no genres listed)")
    )
    # The catalogue has a handful of years that are no years ("unkonwn", "V").
    return RawItem(item_id, title.strip(), int(year) if year and re.fullmatch(r"\d{4}", year) else None, known)


def _read(
    path: Path, names: list[str] | None, delimiter: str, *, encoding: str = "utf8", expect: tuple[str, ...] = ()
) -> pa.Table:
    """A delimited file with every column as text except ratings and timestamps, which `_join` casts."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    every = {name: pa.string() for name in (names or expect)}
    try:
        table = pacsv.read_csv(
            path,
            read_options=pacsv.ReadOptions(column_names=names, encoding=encoding),
            parse_options=pacsv.ParseOptions(delimiter=delimiter, quote_char='"' if delimiter == "," else False),
            convert_options=pacsv.ConvertOptions(column_types=every, strings_can_be_null=False),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: {error}") from error
    missing = [name for name in expect if name not in table.column_names]
    if missing:
        raise DataError(f"{path}: column {missing[0]!r} is missing; it has {', '.join(table.column_names)}")
    return table.select(list(expect)) if expect else table


def _join(items: list[RawItem], table: pa.Table, path: Path) -> Dataset:
    users, rows = (table[name].to_numpy(zero_copy_only=False).astype(np.str_) for name in ("user", "item"))
    try:
        ratings = table["rating"].cast(pa.float32()).to_numpy()
        # Through float, since some layouts write 881250949.0.
        times = table["timestamp"].cast(pa.float64()).to_numpy().astype(np.int64)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: a rating or timestamp is no number: {error}") from error
    return build_dataset(items, users, rows, ratings, times, str(path))
