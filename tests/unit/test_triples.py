"""Towers learn from what `ctrlrec synthesize` wrote, whoever judged it."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from ranker.cli import app
from ranker.data import load_dataset
from ranker.errors import DataError
from ranker.evaluate import auc
from ranker.requests import Category
from ranker.synthesis.plan import Plan, Written, write_manifest
from ranker.synthesis.read import Answered, read_triples
from ranker.synthesis.write import SCHEMA
from tests.unit.tiny_towers import TITLES, data

torch = pytest.importorskip("torch")

from ranker.training.run import read_record  # noqa: E402 - what follows needs torch
from ranker.training.towers import Tower  # noqa: E402
from ranker.training.triples import Triples  # noqa: E402
from tests.unit.tiny_backbone import backbone  # noqa: E402

CATALOGUE = load_dataset(data()).catalogue
ALL = np.arange(len(CATALOGUE))
USERS = ["u0", "u1", "u2"]
RANDOM = np.random.default_rng(1)


def triple(question: int, item: str = "i0", score: float = 1.0, /, **changes: object) -> dict[str, object]:
    return {
        "question": question, "user_id": "u0", "context": "usually watches drama", "request": "quiet evenings",
        "item_id": item, "item_text": "", "score": score, "category": "topic", "judge": "llm:m", "drawn": "random",
        "phrasing_split": "train", "item_split": "train", "user_split": "train", "category_split": "train",
    } | changes  # fmt: skip


def write(folder: Path, rows: Sequence[Mapping[str, object]], *, complete: bool = True, catalogue: str = "") -> Path:
    """A folder of triples as a run of `ctrlrec synthesize` leaves it."""
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA), path := folder / "triples-00000.parquet")
    plan = Plan(judge="llm:m", seed=0, triples=1, catalogue=catalogue or CATALOGUE.digest())
    written = Written(path.name, len(rows), hashlib.sha256(path.read_bytes()).hexdigest())
    write_manifest(folder, plan, (written,) if complete else ())
    return folder


def test_only_what_is_to_be_trained_with_is_read(tmp_path: Path) -> None:
    good = [triple(1, "i3", 0.5), triple(1, "i4", 0.25)]
    splits = [
        {split: "heldout"} for split in ("phrasing_split", "item_split", "user_split", "category_split")
    ] + [{"phrasing_split": "dev"}, {"user_id": "u2"}, {"category": "era"}]  # fmt: skip
    others = [triple(10 + n, item, **change) for n, change in enumerate(splits) for item in ("i3", "i4")]
    others += [triple(1, "i5"), triple(40, "i3")]  # an item that is held out, and a single score
    told = read_triples(write(tmp_path / "t", good + others), CATALOGUE, np.arange(5), ["u0", "u1"], ["era"])
    assert told.judge == "llm:m"
    assert told.triples == 2
    (question,) = told.questions
    assert question[:3] == ("topic", "quiet evenings", "usually watches drama")
    assert (question.rows.tolist(), question.scores.tolist()) == ([3, 4], [0.5, 0.25])


def test_what_cannot_be_trained_with_is_named(tmp_path: Path) -> None:
    def refused(folder: Path, message: str) -> None:
        with pytest.raises(DataError, match=message):
            read_triples(folder, CATALOGUE, ALL, USERS)

    refused(tmp_path, "ctrlrec synthesize. makes a folder of triples")
    pair = [triple(1), triple(1, "i1")]
    refused(write(tmp_path / "half", pair, complete=False), "unfinished")
    refused(write(tmp_path / "other", pair, catalogue="0"), "another catalogue")
    refused(write(tmp_path / "none", [triple(1, user_id="nobody"), triple(1, "i1", user_id="nobody")]), "no triples to")
    damaged = write(tmp_path / "damaged", pair)
    (damaged / "triples-00000.parquet").write_bytes(b"")
    refused(damaged, "not as .ctrlrec synthesize. wrote it")
    (damaged / "triples-00000.parquet").unlink()
    refused(damaged, "cannot be read")


def question(category: Category, rows: Sequence[int], scores: Sequence[float]) -> Answered:
    return Answered(category, category, "drama", np.array(rows), np.array(scores, np.float32))


def test_what_is_said_of_each_side() -> None:
    nan = np.nan
    told = [
        question("topic", [4, 2], [1, 0.25]),
        question("exclusion", [2, 7], [0.25, 1]),
        question("topic_without", [7], [0.5]),
    ]
    source = Triples(told, 0)
    scored = source.scored([(each, place == 0) for place, each in enumerate(told)], 1)
    assert scored.texts == ["topic | reader drama", "exclusion", "topic_without"]
    assert scored.rows.tolist() == [2, 4, 7]
    assert scored.present.tolist() == [[1, 0], [0, 1], [1, 1]]
    unknown = [nan, nan, nan]
    np.testing.assert_array_equal(
        scored.scores,
        [
            [[0.25, 1, nan]] * 3,
            [[0.25, nan, 1], [0.75, nan, 0], [0.75, nan, 0]],
            [[nan, nan, 0.5], unknown, unknown],
        ],
    )


def test_all_are_drawn_equally_often_and_taste_comes_with_what_is_about_it() -> None:
    source = Triples([question("taste" if n % 2 else "topic", [n, n + 1], [0, 1]) for n in range(10)], 3)
    drawn = [one for _ in range(20) for one in source.draw(5)]
    counts = [sum(each.rows[0] == n for each, _ in drawn) for n in range(10)]
    assert counts == [10] * 10
    assert all(told for each, told in drawn if each.category == "taste")
    assert 0 < sum(told for each, told in drawn if each.category == "topic") < 25
    source.begin("tuning")
    first = source.draw(10)
    source.begin("tuning")
    assert source.draw(10) == first


def test_towers_learn_what_only_the_judge_knows(tmp_path: Path) -> None:
    """No rule says which titles suit quiet evenings."""
    quiet = [any(word in item.title for word in TITLES[:5]) for item in CATALOGUE.items]
    rows = [
        triple(number, f"i{row}", float(quiet[row]), user_id=USERS[number % 3])
        for number in range(18)
        for row in RANDOM.choice(len(CATALOGUE), 20, replace=False)
    ]
    folder = write(tmp_path / "triples", rows)
    figures = []
    for name, more in (("without", []), ("with", ["--triples", str(folder)])):
        command = ["train", "--data", str(data()), "--backbone", str(backbone()), "--out", str(tmp_path / name)]
        done = CliRunner().invoke(
            app, [*command, "--steps", "80", "--per-category", "0", *more], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        assert ("triples judged by llm:m" in done.output) == bool(more)
        request, item = (Tower.load(_with_tokenizer(tmp_path / name, side)).eval() for side in ("request", "item"))
        scores = item.embed(CATALOGUE.texts()) @ request.embed(["quiet evenings"])[0]
        figures.append(auc(scores, np.array(quiet)))
    record = read_record(tmp_path / "with")
    assert (record.triples, record.triples_judge) == (240, "llm:m")  # those of two users of three
    assert figures[1] > max(0.9, figures[0] + 0.15), figures


def _with_tokenizer(towers: Path, side: str) -> Path:
    (towers / side / "tokenizer.json").write_bytes((towers / "tokenizer.json").read_bytes())
    return towers / side
