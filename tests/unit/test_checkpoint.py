"""What a training goes on from, and when it ends early."""

from pathlib import Path

import pytest

from ranker.errors import ConfigError, DataError

torch = pytest.importorskip("torch")

from ranker.training.budget import Budget  # noqa: E402 - needs torch
from ranker.training.checkpoint import Checkpoint  # noqa: E402
from ranker.training.stopping import Stopping, is_long  # noqa: E402

SETTINGS = {"seed": 1, "without": ["era"]}


def test_a_checkpoint_gives_back_what_it_was_given(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    Checkpoint(folder, SETTINGS).save("a", {"weights": {"w": torch.arange(3)}, "state": (3, (1, 2), None), "steps": 7})
    kept = Checkpoint(folder, SETTINGS).load("a")
    assert kept is not None
    assert kept["weights"]["w"].tolist() == [0, 1, 2]
    assert (kept["state"], kept["steps"]) == ((3, (1, 2), None), 7)
    assert Checkpoint(folder, SETTINGS).load("b") is None
    assert not list(folder.glob("*.part"))


def test_a_checkpoint_of_other_settings_is_refused_and_named(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "kept", SETTINGS)
    with pytest.raises(ConfigError, match=r"seed 1 instead of 2: .*--fresh"):
        Checkpoint(tmp_path / "kept", SETTINGS | {"seed": 2})


def test_fresh_forgets(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "kept", SETTINGS).save("a", {})
    assert Checkpoint(tmp_path / "kept", SETTINGS | {"seed": 2}, fresh=True).load("a") is None


def test_what_has_lost_its_settings_is_nobodys(tmp_path: Path) -> None:
    Checkpoint(tmp_path, SETTINGS).save("a", {})
    (tmp_path / "settings.json").unlink()
    assert Checkpoint(tmp_path, SETTINGS).load("a") is None


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path, SETTINGS)
    (tmp_path / "a.pt").write_bytes(b"PK not a checkpoint")
    with pytest.raises(DataError, match=r"a.pt: damaged.*--fresh"):
        kept.load("a")
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(DataError, match=r"settings\.json"):
        Checkpoint(tmp_path, SETTINGS)


def test_a_checkpoint_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        Checkpoint(tmp_path / "file" / "kept", SETTINGS)


def test_the_best_is_kept_and_patience_ends() -> None:
    module, figures = torch.nn.Linear(1, 1, bias=False), iter([0.6, 0.8, 0.7, 0.8, 0.75, 0.9])
    stopping = Stopping(module, lambda: next(figures), patience=3)
    for step in range(1, 6):
        assert not stopping.over
        with torch.no_grad():
            module.weight.fill_(step)
        stopping.look(step)
    assert stopping.over
    assert (stopping.best, stopping.step) == (0.8, 2)
    other = Stopping(module, lambda: 0.85, patience=3)
    other.resume(stopping.state())
    other.restore_best()
    assert (other.over, module.weight.item()) == (True, 2)
    other.look(6)
    assert (other.over, other.step) == (False, 6)


def test_only_long_trainings_are_looked_at() -> None:
    assert [is_long(Budget(seconds=seconds)) for seconds in (144, 1200)] == [False, True]
    assert [is_long(Budget(steps=steps)) for steps in (2000, 20_000)] == [False, True]


def test_what_is_not_a_checkpoints_stays_when_it_is_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    for fresh in (False, True):
        kept = Checkpoint(tmp_path, SETTINGS, fresh=fresh)
        kept.save("a", {})
        kept.remove()
        assert [path.name for path in tmp_path.iterdir()] == ["thesis"]
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
    folder = tmp_path / "own"
    Checkpoint(folder, SETTINGS).remove()
    assert not folder.exists()
