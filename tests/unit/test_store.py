import os
import shutil
from pathlib import Path

import pytest

from ranker.errors import BundleError
from ranker.store import POINTER, Store, faults, served
from tests.unit.tiny_towers import bundle, bundle_folder, damaged, other_bundle_folder, reseal


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_folder(), tmp_path / "copy"))


def content(store: Store) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir())


def third(copy: Path) -> str:
    return reseal(copy, name="third")


def test_a_single_bundle_is_served_as_it_is(store: Store) -> None:
    assert not Store(bundle_folder())
    assert not store
    assert served(bundle_folder()) == bundle_folder()
    with pytest.raises(BundleError, match="ctrlrec bundle activate"):
        store.pointer()


def test_activate_and_roll_back(store: Store, copy: Path) -> None:
    a, b = store.add(bundle_folder()), store.add(other_bundle_folder())
    third(copy)
    c = store.add(copy)
    assert [held.version for held in store.held()] == sorted([a, b, c])
    assert not store  # nothing is active yet
    for version in (a, b, c):
        store.activate(version)
        assert served(store.folder) == store.folder / version
    assert store.pointer().before == [b, a]
    assert store.rollback().active == b
    assert store.rollback().active == a
    with pytest.raises(BundleError, match=f"has served nothing before {a}"):
        store.rollback()
    assert store.pointer().active == a
    assert content(store) == sorted([a, b, c, POINTER])
    assert store.load(a).version == bundle().version


def test_activating_again_only_says_so(store: Store) -> None:
    a, b = store.add(bundle_folder()), store.add(other_bundle_folder())
    store.activate(a)
    first = store.activate(b)
    again = store.activate(b)
    assert (again.active, again.before) == (first.active, first.before)
    assert again != first


def test_a_damaged_bundle_is_not_added(store: Store, copy: Path) -> None:
    damaged(copy, "item_vectors.npy")
    with pytest.raises(BundleError, match=r"item_vectors\.npy is damaged"):
        store.add(copy)
    assert content(store) == []


def test_a_damaged_version_is_not_activated_and_adding_it_again_repairs_it(store: Store) -> None:
    a, b = store.add(bundle_folder()), store.add(other_bundle_folder())
    store.activate(a)
    damaged(store.folder_of(b), "request_tower.onnx")
    pointer = store.pointer()
    with pytest.raises(BundleError, match=r"request_tower\.onnx is damaged"):
        store.activate(b)
    assert store.pointer() == pointer
    assert store.add(other_bundle_folder()) == b
    assert faults(store.folder_of(b)) == []
    assert store.activate(b).before == [a]
    assert content(store) == sorted([a, b, POINTER])
    damaged(store.folder_of(a), "tokenizer.json")
    with pytest.raises(BundleError, match=r"tokenizer\.json is damaged"):
        store.rollback()
    assert store.pointer().active == b


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"format": "ctrlrec-bundle/9"}, "this version serves 'ctrlrec-bundle/1'"), ({"dimension": 64}, "not 64")],
)
def test_an_incompatible_bundle_is_refused_with_the_reason(
    store: Store, copy: Path, changes: dict[str, object], reason: str
) -> None:
    store.activate(store.add(bundle_folder()))
    reseal(copy, **changes)
    pointer = store.pointer()
    with pytest.raises(BundleError, match=reason):
        store.activate(store.add(copy))
    assert store.pointer() == pointer


def test_a_bundle_under_anothers_name_is_refused(store: Store) -> None:
    a, b = store.add(bundle_folder()), store.add(other_bundle_folder())
    shutil.rmtree(store.folder_of(b))
    store.folder_of(a).rename(store.folder_of(b))
    with pytest.raises(BundleError, match=f"{b} holds bundle {a}"):
        store.activate(b)
    with pytest.raises(BundleError, match=f"holds no bundle {a}; there are: {b}"):
        store.activate(a)


@pytest.mark.parametrize(
    "written", [b"", b"{", b'{"active":"../elsewhere"}', b'{"active":"0123456789ab","before":[7]}']
)
def test_a_damaged_pointer_is_named_and_can_be_written_anew(store: Store, written: bytes) -> None:
    a = store.add(bundle_folder())
    (store.folder / POINTER).write_bytes(written)
    with pytest.raises(BundleError, match=r"active\.json is damaged"):
        store.pointer()
    assert store.activate(a).before == []


def test_the_pointer_is_the_old_one_until_it_is_the_new_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails on the way: it is never half written, and nothing is left lying about."""
    a, b = store.add(bundle_folder()), store.add(other_bundle_folder())
    pointer = store.activate(a)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BundleError, match=r"active\.json cannot be written: No space left on device"):
        store.activate(b)
    assert store.pointer() == pointer
    assert content(store) == sorted([a, b, POINTER])


def test_a_reader_never_sees_half_a_pointer(store: Store) -> None:
    from threading import Thread

    a, b = store.add(bundle_folder()), store.add(other_bundle_folder())
    store.activate(a)
    store.check = lambda version: None  # type: ignore[method-assign]
    writer = Thread(target=lambda: [store.activate(version) for version in [b, a] * 50])
    writer.start()
    seen = set()
    while writer.is_alive():
        seen.add(Store(store.folder).pointer().active)
    assert seen <= {a, b}


def test_prune_keeps_what_can_be_rolled_back(store: Store, copy: Path) -> None:
    a, b = store.add(bundle_folder()), store.add(other_bundle_folder())
    third(copy)
    c = store.add(copy)
    for version in (a, b):
        store.activate(version)
    assert store.prune(1) == [c]
    assert content(store) == sorted([a, b, POINTER])
    assert store.rollback().active == a
    store.activate(b)
    assert store.prune(0) == [a]
    assert content(store) == sorted([b, POINTER])
    with pytest.raises(BundleError, match="has served nothing before"):
        store.rollback()
    assert store.prune(0) == []
    (store.folder / POINTER).write_text("{")
    with pytest.raises(BundleError, match="is damaged"):
        store.prune(0)
    assert store.folder_of(b).is_dir()


def test_what_a_killed_copy_left_is_swept(store: Store) -> None:
    store.folder.mkdir()
    old, fresh = store.folder / ".incoming-old", store.folder / ".incoming-fresh"
    for folder in (old, fresh):
        (folder / "bundle").mkdir(parents=True)
    os.utime(old, (0, 0))
    store.add(bundle_folder())
    assert not old.exists()
    assert fresh.exists()
