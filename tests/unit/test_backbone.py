"""Backbones by folder and by name."""

from pathlib import Path

import pytest

from ranker.data.backbone import backbone_name, find_backbone
from ranker.errors import DataError

constants = pytest.importorskip("huggingface_hub.constants")
NEVER = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub's client, and no hub."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def test_a_folder_is_itself(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert find_backbone(str(tmp_path / "mine")) == tmp_path / "mine"
    assert find_backbone("mine") == Path("mine")
    assert backbone_name(tmp_path / "mine") == "mine"
    (tmp_path / "mine" / "SOURCE").write_text("some/model\n")
    assert backbone_name(tmp_path / "mine") == "some/model"


@pytest.mark.parametrize("wanted", ["some-model", "sentence-transformers/some-model"])
def test_what_the_hub_gave_before_is_found_without_it(offline: Path, wanted: str) -> None:
    model = offline / "models--sentence-transformers--some-model"
    snapshot = model / "snapshots" / NEVER
    snapshot.mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(NEVER)
    assert find_backbone(wanted) == snapshot
    assert backbone_name(snapshot) == "sentence-transformers/some-model"


@pytest.mark.parametrize("wanted", ["var/backbone", "/nowhere/backbone", "./backbone", "there/backbone"])
def test_a_missing_folder_is_not_looked_for_elsewhere(tmp_path: Path, wanted: str) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(DataError, match=r"no such folder; .ctrlrec data. downloads"):
        find_backbone(wanted)


def test_a_name_without_a_hub_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"hub cannot be reached .*name a folder with config\.json, model\.safetensors"):
        find_backbone("all-mpnet-base-v2")


def test_a_name_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(DataError, match="neither a folder nor a model"):
        find_backbone("a/b/c")
