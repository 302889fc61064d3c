import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ranker.errors import BundleError, ConfigError
from ranker.store import POINTER, Store
from streams.bundles import app
from tests.unit.tiny_towers import DIMENSION, bundle, bundle_folder, damaged, other_bundle_folder, reseal

Run = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def run(store: Store) -> Run:
    def invoke(*arguments: str, **environment: str) -> Result:
        environment = {"CTRLREC_BUNDLE": str(store.folder), "COLUMNS": "120"} | environment
        answer = CliRunner().invoke(app, arguments, env=environment)
        if answer.exception is not None and not isinstance(answer.exception, SystemExit):
            raise answer.exception
        return answer

    return invoke


def listed(run: Run) -> dict[str, Any]:
    return {entry["version"]: entry for entry in json.loads(run("list", "--json").output)}


def test_activate_list_and_roll_back(run: Run, store: Store) -> None:
    a = bundle().version
    assert "holds no bundle" in run("list").output
    assert run("activate", str(bundle_folder())).output == f"bundle {a} is active\n"
    b = json.loads(run("activate", "--json", str(other_bundle_folder())).output)["active"]
    entries = listed(run)
    assert {version: entry["state"] for version, entry in entries.items()} == {a: "previous", b: "active"}
    assert (entries[a]["name"], entries[a]["backbone"], entries[a]["dimension"]) == ("tiny", "tiny", DIMENSION)
    assert (entries[a]["items"], entries[a]["auc"], entries[a]["folder"]) == (50, None, str(store.folder / a))
    shown = run("list").output
    assert all(text in shown for text in (a, b, "active", "previous", "tiny", "other", "50"))
    assert run("rollback").output == f"bundle {a} is active\n"
    assert run("activate", b).output == f"bundle {b} is active; rollback goes to {a}\n"


def test_the_training_s_figure_is_listed(run: Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle_folder(), tmp_path / "copy"))
    version = reseal(copy, training={"evaluation": {"split": "usual", "auc": {"topic": 0.9, "era": 0.8}}})
    run("activate", str(copy))
    assert listed(run)[version]["auc"] == pytest.approx(0.85)
    assert "0.850" in run("list").output


def test_verify_names_each_damaged_file_and_fails(run: Run, store: Store) -> None:
    a, b = store.add(bundle_folder()), store.add(other_bundle_folder())
    assert run("verify").output == "".join(f"{version}: whole\n" for version in sorted([a, b]))
    damaged(damaged(store.folder_of(b), "item_scales.npy"), "tokenizer.json")
    answer = run("verify", "--json")
    damage = {entry["bundle"]: entry["damage"] for entry in json.loads(answer.output)}
    assert answer.exit_code == 1
    assert damage[a] == []
    assert ["item_scales.npy is damaged" in damage[b][0], "tokenizer.json is damaged" in damage[b][1]] == [True, True]
    assert run("verify", a).exit_code == 0
    assert run("verify", str(bundle_folder())).exit_code == 0
    one = run("verify", b)
    assert (one.exit_code, f"{b}: damaged" in one.output, "tokenizer.json" in one.output) == (1, True, True)
    with pytest.raises(ConfigError, match=f"nothing is no directory, and no version in .*{min(a, b)}"):
        run("verify", "nothing")


def test_what_cannot_be_served_changes_nothing(run: Run, store: Store, tmp_path: Path) -> None:
    run("activate", str(bundle_folder()))
    pointer = store.pointer()
    copy = damaged(Path(shutil.copytree(bundle_folder(), tmp_path / "copy")), "request_tower.onnx")
    with pytest.raises(BundleError, match=r"request_tower\.onnx is damaged"):
        run("activate", str(copy))
    with pytest.raises(BundleError, match=r"holds no bundle 0123456789ab; there are"):
        run("activate", "0123456789ab")
    with pytest.raises(BundleError, match="has served nothing before"):
        run("rollback")
    assert store.pointer() == pointer


def test_what_is_missing_or_damaged_is_listed_so(run: Run, store: Store) -> None:
    a, b = store.add(bundle_folder()), store.add(other_bundle_folder())
    store.activate(a)
    store.activate(b)
    shutil.rmtree(store.folder_of(a))
    damaged(store.folder_of(b), "manifest.json")
    shown = run("list").output
    assert "missing" in shown
    assert "damaged" in shown
    assert run("verify").exit_code == 1
    (store.folder / POINTER).write_bytes(b"{")
    with pytest.raises(BundleError, match=r"active\.json is damaged"):
        run("list")


def test_a_single_bundle_is_listed_and_verified_but_is_no_store(run: Run) -> None:
    single = {"CTRLREC_BUNDLE": str(bundle_folder())}
    assert bundle().version in run("list", **single).output
    assert run("verify", **single).output == f"{bundle_folder()}: whole\n"
    with pytest.raises(ConfigError, match="is a single bundle and no store"):
        run("activate", str(other_bundle_folder()), **single)


def test_prune_says_what_it_removed(run: Run, store: Store) -> None:
    run("activate", str(bundle_folder()))
    run("activate", str(other_bundle_folder()))
    assert run("prune").output == "nothing to remove\n"
    assert run("prune", "--keep", "0").output == f"removed {bundle().version}\n"
    assert json.loads(run("prune", "--json").output) == []
