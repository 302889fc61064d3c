"""`ctrlrec train` as a whole, with a small encoder and a budget of steps."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ranker.cli import app
from tests.unit.tiny_towers import data

torch = pytest.importorskip("torch")

from ranker.training.run import TrainingRecord, read_record  # noqa: E402 - needs torch
from tests.unit.tiny_backbone import backbone  # noqa: E402

STEPS = 20


def train(out: Path, *options: str) -> TrainingRecord:
    folders = ("--data", str(data()), "--backbone", str(backbone()), "--out", str(out))
    done = CliRunner().invoke(
        app, ["train", *folders, "--steps", str(STEPS), "--per-category", "1", *options], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return read_record(out)


@pytest.mark.parametrize("loss", ["correlation", "mse", "cross-entropy"])
def test_every_loss_leaves_towers_and_a_curve(tmp_path: Path, loss: str) -> None:
    record = train(tmp_path, "--loss", loss)
    assert record.loss == loss
    assert record.steps == {"item": 6, "head": 6}
    assert {phase: len(points) for phase, points in record.curve.items()} == {"item tower": 6, "request head": 6}
    assert (tmp_path / "learning-curve.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "training.json").read_bytes())["loss"] == loss
