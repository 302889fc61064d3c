"""`ctrlrec train` as a whole, with a small encoder and a budget of steps."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ranker.bundle import Calibration
from ranker.cli import app
from ranker.errors import ConfigError
from ranker.requests.grammar import USUAL, Grammar
from tests.unit.tiny_towers import data

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402 - what follows needs torch

from ranker.training import checkpoint, courses, lessons, stopping  # noqa: E402
from ranker.training import train as trained_by  # noqa: E402
from ranker.training.budget import Budget  # noqa: E402
from ranker.training.descent import Watch  # noqa: E402
from ranker.training.run import TrainingRecord, read_record, run_training  # noqa: E402
from tests.unit.tiny_backbone import backbone  # noqa: E402

STEPS = 20
READ_AT_ONCE = 64
"""A quarter of what a training reads in a step: most of the time here would be spent on reading."""


@pytest.fixture(scope="module", autouse=True)
def _short_steps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lessons, "READ_AT_ONCE", READ_AT_ONCE)
        yield


def options(out: Path) -> list[str]:
    folders = ["--data", str(data()), "--backbone", str(backbone()), "--out", str(out)]
    return [*folders, "--steps", str(STEPS), "--per-category", "1"]


def train(out: Path, *more: str) -> TrainingRecord:
    done = CliRunner().invoke(app, ["train", *options(out), *more], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return read_record(out)


@pytest.mark.parametrize("loss", ["correlation", "mse", "cross-entropy"])
def test_every_loss_leaves_towers_and_a_curve(tmp_path: Path, loss: str) -> None:
    record = train(tmp_path, "--loss", loss)
    assert record.loss == loss
    assert record.steps == {"item": 4, "head": 2, "request": 13}
    points = {phase: len(points) for phase, points in record.curve.items()}
    assert points == {"item tower": 4, "request head": 2, "request tower": 13}
    assert (tmp_path / "learning-curve.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "training.json").read_bytes())["loss"] == loss


def test_a_short_training_writes_nothing_before_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "EVERY", 0)
    there: set[bool] = set()
    run_training(
        data(), backbone(), tmp_path, budget=Budget(steps=STEPS), seed=0, per_category=0,
        watch=lambda *_: there.add(any(tmp_path.iterdir())),
    )  # fmt: skip
    assert there == {False}


def test_a_short_training_hears_the_usual_phrasings_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preferred: list[float] = []

    class Noted(Grammar):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            preferred.append(self._usual)

    monkeypatch.setattr(trained_by, "Grammar", Noted)
    monkeypatch.setattr(courses, "Grammar", Noted)

    def run(out: Path, steps: int) -> set[float]:
        preferred.clear()
        run_training(data(), backbone(), out, budget=Budget(steps=steps), seed=0, per_category=0, watch=lambda *_: None)
        return set(preferred)

    assert run(tmp_path / "short", 4) == {trained_by.MOSTLY_USUAL}
    monkeypatch.setattr(stopping, "LONG_STEPS", 3)
    assert run(tmp_path / "long", 4) == {USUAL}


@pytest.fixture(scope="module")
def looked_at() -> Iterator[None]:
    """Every training is a long one, and looked at after every second step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stopping, "LONG_STEPS", 1)
        patch.setattr(stopping, "EVERY", 2)
        yield


@pytest.fixture(scope="module")
def whole(looked_at: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The towers of a training that was never interrupted."""
    out = tmp_path_factory.mktemp("whole")
    train(out)
    return out


def test_without_matplotlib_the_figures_are_there_and_a_line_says_so(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = read_record(whole)
    monkeypatch.setattr("ranker.training.run.run_training", lambda *_, **__: record)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = CliRunner().invoke(app, ["train", *options(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "no learning-curve.png: matplotlib is not installed" in done.output


def test_the_best_tower_on_dev_phrasings_is_kept(whole: Path) -> None:
    record = read_record(whole)
    assert record.steps == {"item": 2, "head": 1, "request": 17}
    assert [point.step for point in record.curve["request head"] if point.dev_auc is not None] == [1]
    looks = {point.step: point.dev_auc for point in record.curve["request tower"] if point.dev_auc is not None}
    assert list(looks) == [*range(2, 17, 2), 17]
    assert record.kept_step is not None
    assert looks[record.kept_step] == max(looks.values())


def test_a_long_training_is_calibrated_without_noise(
    looked_at: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training: list[bool] = []

    def calibrate(cases: object, embed: Any, items: object) -> Calibration:
        training.append(any(module.training for module in embed.__self__.modules()))
        return Calibration(slope=1, intercept=0)

    monkeypatch.setattr("ranker.training.run.calibrate", calibrate)
    train(tmp_path)
    assert training == [False]


def test_a_long_training_tunes_the_encoder_but_for_its_words(whole: Path) -> None:
    untouched, tuned = load_file(backbone() / "model.safetensors"), load_file(whole / "request" / "model.safetensors")
    changed = [name for name, weight in tuned.items() if not torch.equal(weight, untouched[name])]
    assert changed
    assert not [name for name in changed if "embeddings" in name]


@pytest.mark.parametrize(
    ("phase", "at"),
    [("item tower", 0.5), ("reading", 0.5), ("request head", 0.5), ("request tower", 0.5), ("request tower", 1.0)],
)
def test_a_training_that_was_stopped_goes_on_to_the_same_towers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path, phase: str, at: float
) -> None:
    def run(watch: Watch) -> TrainingRecord:
        return run_training(
            data(), backbone(), tmp_path, budget=Budget(steps=STEPS), seed=0, per_category=1, watch=watch
        )

    def kill(now: str, done: float, _loss: float | None) -> None:
        if now == phase and done >= at:
            raise Killed

    monkeypatch.setattr(checkpoint, "EVERY", 0)
    with pytest.raises(Killed):
        run(kill)
    assert not (tmp_path / "training.json").exists()
    seen: list[tuple[str, float]] = []
    record = run(lambda now, done, _loss: seen.append((now, done)))
    assert min(done for now, done in seen if now == phase) > at - 0.1
    assert (record.steps, record.kept_step) == (read_record(whole).steps, read_record(whole).kept_step)
    assert_same(tmp_path, whole)


def test_kill_9_and_the_same_command_again(tmp_path: Path, whole: Path) -> None:
    code = f"""
from ranker.cli import app
from ranker.training import lessons, stopping
stopping.LONG_STEPS, stopping.EVERY, lessons.READ_AT_ONCE = 1, 2, {READ_AT_ONCE}
app()
"""
    command = [sys.executable, "-W", "ignore", "-c", code, "train", *options(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not (tmp_path / checkpoint.FOLDER / "item-tower.pt").exists():
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    other = CliRunner().invoke(app, ["train", *options(tmp_path), "--seed", "3", "--loss", "mse"])
    assert isinstance(other.exception, ConfigError)
    assert "seed 0 instead of 3, loss correlation instead of mse" in str(other.exception)
    train(tmp_path)
    assert_same(tmp_path, whole)


class Killed(BaseException):
    """Like a signal: no training catches it."""


def assert_same(towers: Path, others: Path) -> None:
    """Every weight, and nothing left of the checkpoint."""
    files = ("request/model.safetensors", "request/head.safetensors", "item/model.safetensors")
    for file in files:
        left, right = load_file(towers / file), load_file(others / file)
        assert left.keys() == right.keys()
        assert all(torch.equal(left[name], right[name]) for name in left)
    assert not (towers / checkpoint.FOLDER).exists()
