"""Which reader a directory needs, told by the files that are in it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ranker.data.dataset import Dataset
from ranker.data.movielens import read_grouplens_100k, read_grouplens_csv, read_recbole
from ranker.data.tables import read_tables
from ranker.errors import DataError


class Layout(NamedTuple):
    """One way in which ratings are laid out on disk; `marker` is the file that gives it away."""

    name: str
    marker: str
    read: Callable[[Path], Dataset]


LAYOUTS = (
    Layout("platform tables (Parquet)", "items.parquet", read_tables),
    Layout("platform tables (CSV)", "items.csv", read_tables),
    Layout("MovieLens, GroupLens 100k", "u.item", read_grouplens_100k),
    Layout("MovieLens, GroupLens CSV", "movies.csv", read_grouplens_csv),
    Layout("MovieLens, recbole", "ml-100k.item", read_recbole),
)


def find_layout(directory: Path) -> tuple[Layout, Path] | None:
    """The layout of `directory` or of the only such directory one level below it; None where there is none."""
    places = [directory, *sorted(path for path in directory.glob("*") if path.is_dir())]
    return next(((layout, place) for place in places for layout in LAYOUTS if (place / layout.marker).is_file()), None)


def load_dataset(directory: Path) -> Dataset:
    """Read whatever known layout lies in `directory`, or one level below.

    Raises:
        DataError: nothing known is there, or a file is not as documented; the message names file, column and row.
    """
    found = find_layout(directory)
    if found is None:
        markers = ", ".join(layout.marker for layout in LAYOUTS)
        raise DataError(f"{directory}: no data set there (none of {markers}); `ctrlrec data` downloads one")
    layout, place = found
    return layout.read(place)
