"""Triples on disk: balanced, split, the same bytes for the same seed, killed or not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from ranker.cli import app
from ranker.data import load_dataset
from ranker.errors import ConfigError, DataError
from ranker.judges import RuleJudge
from ranker.requests import CATEGORIES, Grammar
from ranker.requests.written import read_requests
from ranker.synthesis import plan as planning
from ranker.synthesis.card import Card
from ranker.synthesis.plan import Manifest
from ranker.taste import Taste
from tests.chatserver import ChatServer, score_of
from tests.unit.small_data import small_dataset

DATASET = small_dataset()

COMMAND = """
import sys
from ranker.synthesis import plan
plan.GROUP = 100
from ranker.cli import app
app()
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The small data set as a platform's own tables."""
    place = tmp_path / "data"
    place.mkdir()
    lines = ["item_id,title,year,genres"]
    lines += [f"{item.item_id},{item.title},{item.year},{'|'.join(item.genres)}" for item in DATASET.catalogue.items]
    (place / "items.csv").write_text("\n".join(lines))
    ratings = DATASET.interactions
    rows = zip(ratings.user_rows, ratings.item_rows, ratings.ratings, ratings.timestamps, strict=True)
    lines = ["user_id,item_id,rating,timestamp"]
    lines += [f"{ratings.user_ids[u]},{DATASET.catalogue.items[i].item_id},{r},{t}" for u, i, r, t in rows]
    (place / "interactions.csv").write_text("\n".join(lines))
    return place


def run(data: Path, out: Path, *options: str, triples: int = 1500) -> None:
    command = ["synthesize", "--data", str(data), "--out", str(out), "--triples", str(triples), *options]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_the_columns_say_it_all(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "GROUP", 100)
    out = tmp_path / "out"
    run(data, out, "--hold-out", "blend", "--hold-out", "era")
    table = pq.read_table(sorted(out.glob("*.parquet")))
    manifest = msgspec.json.decode((out / "manifest.json").read_bytes(), type=Manifest)
    card = msgspec.json.decode((out / "card.json").read_bytes(), type=Card)
    assert table.num_rows == card.triples == sum(file.triples for file in manifest.files) >= 1500
    assert manifest.complete
    assert manifest.plan.files == len(manifest.files) == 4
    rows = table.to_pylist()
    held, users = set(manifest.items_held_out), set(manifest.users_held_out)
    judge, dataset = RuleJudge(load_dataset(data).catalogue), load_dataset(data)
    assert np.float32(0) <= min(row["score"] for row in rows)
    assert max(row["score"] for row in rows) <= 1
    for row in rows:
        assert (row["item_split"] == "heldout") == (row["item_id"] in held)
        assert (row["user_split"] == "heldout") == (row["user_id"] in users)
        assert (row["category_split"] == "heldout") == (row["category"] in ("blend", "era"))
        assert row["judge"] == "rule"
    for name in ("phrasing_split", "item_split", "user_split", "category_split"):
        counted = {side: sum(row[name] == side for row in rows) for side in {row[name] for row in rows}}
        assert counted == card.splits[name]
    assert sum(map(sum, card.histogram.values())) == table.num_rows
    for category, counts in card.categories.items():
        assert counts["positive"] == counts["hard negative"] > 0, category
    assert len(card.categories) == 10
    # What is written is what the judge says: asked again, from the row alone.
    topics = [row for row in rows if row["category"] == "topic" and row["drawn"] == "hard negative"]
    assert topics
    assert all(row["score"] < 0.5 for row in topics)
    assert len(judge.scores(Grammar(dataset.catalogue).draw("topic", "train", Random(1)).spec, Taste())) == 80
    assert (out / "card.png").read_bytes().startswith(b"\x89PNG")
    assert "| topic_without |" in (out / "card.md").read_text()


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != "asked.md"}


def killed(command: list[str], out: Path, files: int, env: dict[str, str] | None = None) -> None:
    """Run, and kill -9 once so many files are finished and the next one is begun."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", COMMAND, *command], env=env, stderr=subprocess.PIPE
    ) as running:
        deadline = time.monotonic() + 200
        while running.poll() is None and time.monotonic() < deadline:
            if len(list(out.glob("*.parquet"))) >= files and list(out.glob("*.part")):
                break
            time.sleep(0.001)
        assert running.poll() is None, running.stderr and running.stderr.read()
        os.kill(running.pid, signal.SIGKILL)


def test_killed_twice_the_bytes_are_those_of_a_run_that_was_not(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "GROUP", 100)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(data, whole, triples=20_000)
    command = ["synthesize", "--data", str(data), "--out", str(broken), "--triples", "20000"]
    for files in (2, 12):
        killed(command, broken, files)
    assert not msgspec.json.decode((broken / "manifest.json").read_bytes(), type=Manifest).complete
    run(data, broken, triples=20_000)
    assert contents(broken) == contents(whole)


def test_another_plan_does_not_mix_in(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "out", triples=100)
    with pytest.raises(DataError, match="seed 0, not 1"):
        run(data, tmp_path / "out", "--seed", "1", triples=100)
    with pytest.raises(ConfigError, match="no such category"):
        run(data, tmp_path / "new", "--hold-out", "nothing", triples=100)
    (tmp_path / "words.txt").write_text("pirates\nchess\n")
    with pytest.raises(ConfigError, match="the rule judge knows facts"):
        run(data, tmp_path / "new", "--words", str(tmp_path / "words.txt"), triples=100)


def test_a_language_model_killed_in_the_middle_is_paid_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "GROUP", 100)
    with ChatServer(delay=0.005).serve() as server:
        settings = {"CTRLREC_LLM_URL": server.url, "CTRLREC_LLM_MODEL": "m", "CTRLREC_LLM_CACHE": str(tmp_path / "c")}
        settings |= {"CTRLREC_LLM_BACKOFF": "0", "CTRLREC_LLM_REQUESTS_PER_MINUTE": "1e6"}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        out = tmp_path / "out"
        with pytest.raises(ConfigError, match="--yes goes on"):
            run(data, out, "--judge", "llm", triples=2000)
        assert server.calls == []
        command = ["synthesize", "--data", str(data), "--out", str(out), "--triples", "2000", "--judge", "llm", "--yes"]
        killed(command, out, 1, dict(os.environ))
        assert len(server.billed) > 0
        run(data, out, "--judge", "llm", "--yes", triples=2000)
        assert set(server.billed.values()) == {1}
        calls = len(server.calls)
        again = tmp_path / "again"  # all known by now: the same bytes, and nobody asked
        run(data, again, "--judge", "llm", "--yes", triples=2000)
        assert len(server.calls) == calls
        assert contents(again) == contents(out)
    rows = pq.read_table(sorted(out.glob("*.parquet"))).to_pylist()
    assert all(row["score"] == np.float32(score_of(row["item_text"])) for row in rows)
    assert {row["judge"] for row in rows} == {"llm:m"}


def test_what_a_model_writes_can_be_judged_by_any(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ChatServer().serve() as server:
        monkeypatch.setenv("CTRLREC_LLM_URL", server.url)
        monkeypatch.setenv("CTRLREC_LLM_MODEL", "m")
        monkeypatch.setenv("CTRLREC_LLM_CACHE", str(tmp_path / "c"))
        path = tmp_path / "requests.jsonl"
        command = [
            "write-requests",
            "--data",
            str(data),
            "--out",
            str(path),
            "--per-category",
            "4",
            "--ways",
            "3",
            "--yes",
        ]
        result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    written = read_requests(path)
    assert {request.category for request in written} == set(CATEGORIES)
    run(data, tmp_path / "out", "--requests", str(path), triples=1000)
    asked = set(pq.read_table(sorted((tmp_path / "out").glob("*.parquet")))["request"].to_pylist())
    share = np.mean([text in {request.text for request in written} for text in asked])
    assert 0.2 < share < 0.8
