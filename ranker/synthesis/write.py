"""Triples to Parquet, a row group at a time, each file whole or not there: killed at any moment, a run goes on from there."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ranker.catalogue import Catalogue
from ranker.data import Dataset
from ranker.judges.compose import Scores
from ranker.judges.question import Judge
from ranker.synthesis.draw import Drawn, Draws, Watch
from ranker.synthesis.plan import Plan, Written, begin, write_manifest

SCHEMA = pa.schema(
    [
        pa.field("question", pa.int64()),
        pa.field("user_id", pa.string()),
        pa.field("context", pa.string()),
        pa.field("request", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("item_text", pa.string()),
        pa.field("score", pa.float32()),
        pa.field("category", pa.string()),
        pa.field("judge", pa.string()),
        pa.field("drawn", pa.string()),
        pa.field("phrasing_split", pa.string()),
        pa.field("item_split", pa.string()),
        pa.field("user_split", pa.string()),
        pa.field("category_split", pa.string()),
        pa.field("wanted", pa.bool_()),
        pa.field("refused", pa.bool_()),
        pa.field("about_user", pa.bool_()),
    ]
)
"""`question` is the same for the triples of one request of one user; `context` is the user's taste as the request tower reads
it; `drawn` is positive, hard negative or random, by the judge that chose the items; `score` is the judge's. `wanted`, `refused`
and `about_user` are of the request: whether it wants something, refuses something, and takes the user's history to judge."""
QUESTIONS_A_GROUP = 1 << 32


def synthesize(out: Path, plan: Plan, draws: Draws, judge: Judge, dataset: Dataset, watch: Watch) -> None:
    """Write what is missing of the plan's files, then the manifest. Raises DataError where `out` holds another plan's."""
    begin(out, plan)
    for part in out.glob("*.part"):
        part.unlink()  # of a run that was killed
    catalogue, users = dataset.catalogue, dataset.interactions.user_ids
    rows = _Rows(plan, catalogue)
    written: list[Written] = []
    for number in range(plan.files):
        path = out / f"triples-{number:05}.parquet"
        if not path.is_file():
            _write(path, plan.groups_of(number), draws, judge, rows, watch)
            written.append(_written(path))
        else:  # of a run that was killed later
            written.append(_written(path))
            watch(written[-1].triples)
    items = tuple(item.item_id for item in catalogue.items if plan.side("item", item.item_id) == "heldout")
    held = tuple(user for user in users if plan.side("user", user) == "heldout")
    write_manifest(out, plan, tuple(written), items, held)


def _write(path: Path, groups: range, draws: Draws, judge: Judge, rows: "_Rows", watch: Watch) -> None:
    partial = path.with_name(path.name + ".part")
    with pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
        for group in groups:
            drawn = draws.group(group)
            scores = judge.judge([one.question for one in drawn])
            table = rows.table(drawn, scores, judge.name, group)
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
            watch(table.num_rows)
    partial.replace(path)


def _written(path: Path) -> Written:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Written(path.name, pq.ParquetFile(path).metadata.num_rows, digest)


class _Rows:
    """Triples as columns. What is the same for an item or a user is worked out once."""

    def __init__(self, plan: Plan, catalogue: Catalogue) -> None:
        self._plan = plan
        self._ids = np.array([item.item_id for item in catalogue.items], dtype=object)
        self._texts = np.array(catalogue.texts(), dtype=object)
        self._sides = np.array([plan.side("item", item.item_id) for item in catalogue.items], dtype=object)

    def table(self, drawn: Sequence[Drawn], scores: Sequence[Scores], judge: str, group: int) -> pa.Table:
        """Without the items that the judge gave no score: a score is never made up."""
        lengths = [len(one.why) for one in drawn]
        items = np.concatenate([one.question.rows for one in drawn])
        score = np.concatenate(scores)

        def each(values: Sequence[object]) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
            """One value a question, repeated for its items."""
            return np.repeat(np.array([*values, None], dtype=object)[:-1], lengths)

        tastes = [one.question.taste for one in drawn]
        specs = [one.question.request.spec for one in drawn]
        columns = {
            "question": np.repeat(group * QUESTIONS_A_GROUP + np.arange(len(drawn)), lengths),
            "user_id": each([one.user_id for one in drawn]),
            "context": each([None if taste is None else taste.text() for taste in tastes]),
            "request": each([one.question.request.text for one in drawn]),
            "item_id": self._ids[items],
            "item_text": self._texts[items],
            "score": score,
            "category": each([one.question.request.category for one in drawn]),
            "judge": np.full(len(items), judge, dtype=object),
            "drawn": np.array([why for one in drawn for why in one.why], dtype=object),
            "phrasing_split": each([one.phrasing for one in drawn]),
            "item_split": self._sides[items],
            "user_split": each([self._plan.side("user", one.user_id) for one in drawn]),
            "category_split": each([self._plan.category_side(one.question.request.category) for one in drawn]),
            "wanted": each([bool(spec.wanted) for spec in specs]),
            "refused": each([bool(spec.refused) for spec in specs]),
            "about_user": each([spec.about_user for spec in specs]),
        }
        known = ~np.isnan(score)
        arrays = [pa.array(columns[field.name][known], type=field.type) for field in SCHEMA]
        return pa.Table.from_arrays(arrays, schema=SCHEMA)
