"""What a judge said once, of some items for each request: the triples of `ctrlrec synthesize`, to learn from.

A language model is too dear to be asked about the whole catalogue at every step; so it is asked ahead, and here its scores
are taken as they are. Only what lies on the training side of every split is learned from.
"""

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ranker.catalogue import Catalogue
from ranker.errors import DataError
from ranker.requests import Category
from ranker.requesttext import request_text
from ranker.synthesis.plan import MANIFEST, Manifest
from ranker.training.batches import TOLD
from ranker.training.courses import Scored

SHARE = 1.0
"""Of the requests, beside those of all courses together: half of them."""
SPLITS = ("phrasing_split", "item_split", "user_split", "category_split")
COLUMNS = ["question", "user_id", "context", "request", "item_id", "score", "category", *SPLITS]
FEWEST = 2
"""Of one question; a single score orders nothing."""
REFUSING: dict[Category, tuple[float, float]] = {"exclusion": (0.0, 1.0), "topic_without": (1.0, 1.0)}
"""Whether something is wanted, and whether something is refused; in all other categories something is wanted alone."""


class Question(NamedTuple):
    """One request of one user, and what the judge said."""

    category: Category
    text: str
    context: str | None
    rows: NDArray[np.int64]
    """(k,) of the catalogue."""
    scores: NDArray[np.float32]
    """(k,) in 0..1."""


class Told(NamedTuple):
    """Judged questions, and whose word they are."""

    judge: str
    questions: list[Question]
    digest: str = ""
    """Of the files that they come from."""

    @property
    def triples(self) -> int:
        """How many scores there are."""
        return sum(len(question.rows) for question in self.questions)


class Triples:
    """Draws questions without end, all of them in a new order each time round; the same ones for the same seed."""

    share = SHARE

    def __init__(self, questions: Sequence[Question], seed: int) -> None:
        self._questions, self._seed = questions, seed
        self.begin("")

    def begin(self, phase: str) -> None:
        """Draw what this phase has, whatever was drawn before."""
        self._random, self._waiting = Random(f"{self._seed} {phase} triples"), list[Question]()

    def draw(self, size: int) -> list[tuple[Question, bool]]:
        """The next questions; and whether the reader's taste is told with each."""
        size = min(size, len(self._questions))
        while len(self._waiting) < size:
            self._waiting += self._random.sample(self._questions, len(self._questions))
        drawn = [self._waiting.pop() for _ in range(size)]
        return [(question, question.category == "taste" or self._random.random() < TOLD) for question in drawn]

    def scored(self, drawn: Sequence[tuple[Question, bool]], _items: int) -> Scored:
        """What was said of all items of these questions."""
        rows = np.unique(np.concatenate([question.rows for question, _ in drawn]))
        scores = np.full((len(drawn), 3, len(rows)), np.nan, np.float32)
        for place, (question, _) in enumerate(drawn):
            scores[place][:, np.searchsorted(rows, question.rows)] = _by_side(question)
        return Scored(
            [request_text(question.text, question.context if told else None) for question, told in drawn],
            rows,
            scores,
            np.array([REFUSING.get(question.category, (1.0, 0.0)) for question, _ in drawn], np.float32),
        )


def _by_side(question: Question) -> NDArray[np.float32]:
    """(3, k) as a whole, what is wanted, what is refused: of a request with one side only that one twice, see `Judged`.

    Of one with two sides the judge said what they amount to, not what each of them is: NaN.
    """
    whole = question.scores
    if question.category == "topic_without":
        return np.stack([whole, np.full_like(whole, np.nan), np.full_like(whole, np.nan)])
    side = 1 - whole if question.category == "exclusion" else whole
    return np.stack([whole, side, side])


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
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    manifest = _manifest(folder, catalogue)
    ids = [item.item_id for item in catalogue.items]
    questions: list[Question] = []
    for file in manifest.files:
        table = pq.read_table(folder / file.name, columns=COLUMNS)
        row = pc.fill_null(pc.index_in(table["item_id"], pa.array(ids)), -1).to_numpy()
        wanted = np.isin(row, rows) & pc.is_in(table["user_id"], pa.array(users, pa.string())).to_numpy()
        wanted &= ~pc.is_in(table["category"], pa.array(without, pa.string())).to_numpy()
        for split in SPLITS:
            wanted &= pc.equal(table[split], "train").to_numpy()
        kept, row = table.filter(pa.array(wanted)), row[wanted].astype(np.int64)
        numbers, scores = kept["question"].to_numpy(), kept["score"].to_numpy()
        for part in np.split(np.arange(len(numbers)), np.flatnonzero(np.diff(numbers)) + 1):
            if len(part) >= FEWEST:
                first = {name: kept[name][int(part[0])].as_py() for name in ("category", "request", "context")}
                questions.append(
                    Question(first["category"], first["request"], first["context"], row[part], scores[part])
                )
    if not questions:
        raise DataError(
            f"{folder}: no triples to train with: none lies on the training side of every split, with a user and an item "
            "that are not held out"
        )
    digest = hashlib.sha256("".join(file.sha256 for file in manifest.files).encode()).hexdigest()
    return Told(manifest.plan.judge, questions, digest)


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
            content = (folder / file.name).read_bytes()
        except OSError as error:
            raise DataError(f"{folder / file.name}: cannot be read: {error}") from error
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise DataError(f"{folder / file.name}: not as `ctrlrec synthesize` wrote it; make the triples anew")
    return manifest
