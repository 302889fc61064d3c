"""The triples of a finished run, question by question, to be trained with: those on the training side of every split."""

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ranker.catalogue import Catalogue
from ranker.errors import DataError
from ranker.requests import Category
from ranker.synthesis.plan import MANIFEST, SPLITS, Manifest

OF_QUESTION = ["request", "context", "wanted", "refused", "about_user"]
COLUMNS = ["question", "user_id", "item_id", "score", "category", *OF_QUESTION, *SPLITS]
FEWEST = 3
"""Of one question; two scores correlate whatever they are."""


class Answered(NamedTuple):
    """One request of one user, and what the judge said."""

    request: str
    context: str | None
    """A short text of the user's taste."""
    wanted: bool
    """Whether something is wanted."""
    refused: bool
    about_user: bool
    """Whether it takes the user's taste to judge it."""
    rows: NDArray[np.int64]
    """(k,) of the catalogue."""
    scores: NDArray[np.float32]
    """(k,) in 0..1."""


class Told(NamedTuple):
    """Answered questions, and whose word they are."""

    judge: str
    questions: list[Answered]
    of: int = 0
    """How many triples there were in all, those on the other sides of the splits too."""
    digest: str | None = None
    """sha256 over the files that they come from."""

    @property
    def triples(self) -> int:
        """How many scores there are."""
        return sum(len(question.rows) for question in self.questions)


def read_triples(
    folder: Path,
    catalogue: Catalogue,
    rows: NDArray[np.int64],
    users: Sequence[str],
    without: Collection[Category] = (),
) -> Told:
    """Those to be trained with: in training phrasings, of these rows and users, not of a category in `without`.

    Raises DataError where the folder holds no finished triples of this catalogue, or none of those.
    """
    manifest = _manifest(folder, catalogue)
    ids = [item.item_id for item in catalogue.items]
    questions: list[Answered] = []
    for file in manifest.files:
        table = _table(folder / file.name)
        row = pc.fill_null(pc.index_in(table["item_id"], pa.array(ids)), -1).to_numpy()
        wanted = np.isin(row, rows) & pc.is_in(table["user_id"], pa.array(users, pa.string())).to_numpy()
        wanted &= ~pc.is_in(table["category"], pa.array(without, pa.string())).to_numpy()
        for split in SPLITS:
            wanted &= pc.equal(table[split], "train").to_numpy()
        kept, row = table.filter(pa.array(wanted)), row[wanted].astype(np.int64)
        numbers, scores = kept["question"].to_numpy(), kept["score"].to_numpy()
        for part in np.split(np.arange(len(numbers)), np.flatnonzero(np.diff(numbers)) + 1):
            if len(part) >= FEWEST:
                told = {name: kept[name][int(part[0])].as_py() for name in OF_QUESTION}
                questions.append(Answered(rows=row[part], scores=scores[part], **told))
    if not questions:
        raise DataError(
            f"{folder}: no triples to train with: none lies on the training side of every split, with a user and an item "
            "that are not held out"
        )
    digest = hashlib.sha256("".join(file.sha256 for file in manifest.files).encode()).hexdigest()
    return Told(manifest.plan.judge, questions, sum(file.triples for file in manifest.files), digest)


def _table(path: Path) -> pa.Table:
    try:
        missing = set(COLUMNS) - set(pq.read_schema(path).names)
        if not missing:
            return pq.read_table(path, columns=COLUMNS)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}; make the triples anew") from error
    raise DataError(
        f"{path}: triples of an earlier version, without {', '.join(sorted(missing))}; make them anew (what a language model "
        "was asked is not paid again)"
    )


def _manifest(folder: Path, catalogue: Catalogue) -> Manifest:
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise DataError(f"{folder}: no {MANIFEST}; `ctrlrec synthesize` makes a folder of triples") from error
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(f"{path}: {error}") from error
    if not manifest.complete:
        raise DataError(f"{folder}: unfinished triples; the same `ctrlrec synthesize` again goes on with them")
    if manifest.plan.catalogue != catalogue.digest():
        raise DataError(f"{folder}: triples of another catalogue than --data has; make them anew from that")
    for file in manifest.files:
        try:
            with (folder / file.name).open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"{folder / file.name}: cannot be read: {error}") from error
        if digest != file.sha256:
            raise DataError(f"{folder / file.name}: not as `ctrlrec synthesize` wrote it; make the triples anew")
    return manifest
