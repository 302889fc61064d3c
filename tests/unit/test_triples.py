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
from ranker.synthesis.plan import Plan, Written, write_manifest
from ranker.synthesis.read import Answered, read_triples
from ranker.synthesis.write import SCHEMA
from tests.unit.tiny_towers import TITLES, data

torch = pytest.importorskip("torch")

from ranker.training.run import read_record  # noqa: E402 - what follows needs torch
from ranker.training.towers import Tower  # noqa: E402
from ranker.training.triples import ENOUGH, Triples  # noqa: E402
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
        "wanted": True, "refused": False, "about_user": False,
    } | changes  # fmt: skip


def write(
    folder: Path,
    rows: Sequence[Mapping[str, object]],
    *,
    complete: bool = True,
    catalogue: str = "",
    columns: Sequence[str] = (),
) -> Path:
    """A folder of triples as a run of `ctrlrec synthesize` leaves it."""
    folder.mkdir()
    table = pa.Table.from_pylist(list(rows), schema=SCHEMA).select(list(columns) or SCHEMA.names)
    pq.write_table(table, path := folder / "triples-00000.parquet")
    plan = Plan(judge="llm:m", seed=0, triples=1, catalogue=catalogue or CATALOGUE.digest())
    written = Written(path.name, len(rows), hashlib.sha256(path.read_bytes()).hexdigest())
    write_manifest(folder, plan, (written,) if complete else ())
    return folder


def test_only_what_is_to_be_trained_with_is_read(tmp_path: Path) -> None:
    good = [triple(1, "i3", 0.5), triple(1, "i4", 0.25), triple(1, "i2", 1.0)]
    splits = [
        {split: "heldout"} for split in ("phrasing_split", "item_split", "user_split", "category_split")
    ] + [{"phrasing_split": "dev"}, {"user_id": "u2"}, {"category": "era"}]  # fmt: skip
    others = [triple(10 + n, item, **change) for n, change in enumerate(splits) for item in ("i2", "i3", "i4")]
    others += [triple(1, "i5"), triple(40, "i3"), triple(40, "i4")]  # an item that is held out, and too few scores
    told = read_triples(write(tmp_path / "t", good + others), CATALOGUE, np.arange(5), ["u0", "u1"], ["era"])
    assert told.judge == "llm:m"
    assert (told.triples, told.of) == (3, len(good + others))
    (question,) = told.questions
    assert question[:5] == ("quiet evenings", "usually watches drama", True, False, False)
    assert (question.rows.tolist(), question.scores.tolist()) == ([3, 4, 2], [0.5, 0.25, 1.0])


def test_what_cannot_be_trained_with_is_named(tmp_path: Path) -> None:
    def refused(folder: Path, message: str) -> None:
        with pytest.raises(DataError, match=message):
            read_triples(folder, CATALOGUE, ALL, USERS)

    refused(tmp_path, "ctrlrec synthesize. makes a folder of triples")
    whole = [triple(1), triple(1, "i1"), triple(1, "i2")]
    refused(write(tmp_path / "half", whole, complete=False), "unfinished")
    refused(write(tmp_path / "other", whole, catalogue="0"), "another catalogue")
    refused(write(tmp_path / "none", [triple(1, user_id="nobody"), triple(1, "i1", user_id="nobody")]), "no triples to")
    damaged = write(tmp_path / "damaged", whole)
    (damaged / "triples-00000.parquet").write_bytes(b"")
    refused(damaged, "not as .ctrlrec synthesize. wrote it")
    (damaged / "triples-00000.parquet").unlink()
    refused(damaged, "cannot be read")
    old = write(tmp_path / "old", whole, columns=SCHEMA.names[:-3])
    refused(old, "earlier version, without about_user, refused, wanted")


def question(
    text: str, rows: Sequence[int], scores: Sequence[float], *, wanted: bool = True, refused: bool = False
) -> Answered:
    about_user = text == "taste"
    return Answered(text, "drama", wanted, refused, about_user, np.array(rows), np.array(scores, np.float32))


def test_what_is_said_of_each_side() -> None:
    nan = np.nan
    told = [
        question("topic", [4, 2], [1, 0.25]),
        question("taste", [2, 7], [0.25, 1], wanted=False, refused=True),
        question("topic without", [7], [0.5], refused=True),
    ]
    scored = Triples(told, 1.0, 0).scored([(each, place == 0) for place, each in enumerate(told)], 1)
    assert scored.texts == ["topic | reader drama", "taste", "topic without"]
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
    source = Triples([question("taste" if n % 2 else "topic", [n, n + 1], [0, 1]) for n in range(10)], 1.0, 3)
    drawn = [one for _ in range(25) for one in source.draw(4)]
    for first in range(0, 100, 10):
        assert sorted(each.rows[0] for each, _ in drawn[first : first + 10]) == [*range(10)]
    assert all(told for each, told in drawn if each.about_user)
    assert 0 < sum(told for each, told in drawn if not each.about_user) < 25
    source.begin("tuning")
    first_draw = source.draw(10)
    source.begin("tuning")
    assert source.draw(10) == first_draw


def test_few_questions_are_not_half_of_a_training() -> None:
    some = question("topic", [0, 1], [0, 1])
    assert Triples([some] * (ENOUGH // 5), 0.75, 0).share == pytest.approx(0.15)
    assert Triples([some] * 3 * ENOUGH, 0.75, 0).share == 0.75


def test_a_run_says_what_its_requests_want(tmp_path: Path) -> None:
    """What is written is what is read: of a taste that is refused, too."""
    command = ["synthesize", "--data", str(data()), "--out", str(tmp_path / "t"), "--triples", "3000"]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    told = read_triples(tmp_path / "t", CATALOGUE, ALL, USERS)
    assert told.judge == "rule"
    assert {(one.wanted, one.refused) for one in told.questions} == {(True, False), (False, True), (True, True)}
    assert {(one.wanted, one.refused) for one in told.questions if one.about_user} == {(True, False), (False, True)}


def test_towers_learn_what_only_the_judge_knows(tmp_path: Path) -> None:
    """No rule says which titles suit quiet evenings."""
    quiet = [any(word in item.title for word in TITLES[:5]) for item in CATALOGUE.items]
    rows = [
        triple(number, f"i{row}", float(quiet[row]), user_id=USERS[number % 3])
        for number in range(1200)
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
        assert ("of 24,000 triples, judged by llm:m" in done.output) == bool(more)
        request, item = (Tower.load(_with_tokenizer(tmp_path / name, side)).eval() for side in ("request", "item"))
        scores = item.embed(CATALOGUE.texts()) @ request.embed(["quiet evenings"])[0]
        figures.append(auc(scores, np.array(quiet)))
    record = read_record(tmp_path / "with")
    assert (record.triples, record.triples_judge) == (16_000, "llm:m")  # those of two users of three
    assert figures[1] > max(0.9, figures[0] + 0.15), figures


def _with_tokenizer(towers: Path, side: str) -> Path:
    (towers / side / "tokenizer.json").write_bytes((towers / "tokenizer.json").read_bytes())
    return towers / side
