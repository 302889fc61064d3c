import hashlib
import urllib.error
import zipfile
from pathlib import Path

import pytest

from ranker.data import download as movielens
from ranker.data import fetch
from ranker.errors import DataError


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return path


def test_unpack_keeps_only_what_has_the_right_hash(tmp_path: Path) -> None:
    source = archive(tmp_path / "a.zip", {"deep/x": b"right", "y": b"wrong"})
    right, wrong = hashlib.sha256(b"right").hexdigest(), hashlib.sha256(b"other").hexdigest()
    fetch.unpack(source, tmp_path / "out", (fetch.Wanted("deep/x", "x.txt", right),))
    assert (tmp_path / "out" / "x.txt").read_bytes() == b"right"
    with pytest.raises(DataError, match="y has sha256"):
        fetch.unpack(source, tmp_path / "out", (fetch.Wanted("y", "y.txt", wrong),))
    with pytest.raises(DataError, match="z is not in it"):
        fetch.unpack(source, tmp_path / "out", (fetch.Wanted("z", "z.txt", right),))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x.txt"]


def test_extract_takes_files_out_of_any_folder(tmp_path: Path) -> None:
    source = archive(tmp_path / "a.zip", {"ml/u.item": b"items", "ml/u.user": b"users"})
    fetch.extract(source, tmp_path / "out", ("u.item",))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["u.item"]


def test_a_wrong_hash_deletes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x")
    fetch.check(path, "md5", hashlib.md5(b"x").hexdigest().upper())  # noqa: S324 - what GroupLens publishes
    with pytest.raises(DataError, match="deleted"):
        fetch.check(path, "md5", "0" * 32)
    assert not path.exists()


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "page.zip"
    path.write_text("<html>")
    with pytest.raises(DataError, match=r"page.zip"):
        fetch.extract(path, tmp_path, ("x",))


def unreachable(url: str, path: Path) -> None:
    raise urllib.error.URLError("no route")


def test_ml_100k_comes_out_of_the_wheel_where_grouplens_is_out_of_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"item_id:token"
    wheel = archive(tmp_path / "recbole.whl", {"in/it": content})
    wanted = (fetch.Wanted("in/it", "ml-100k.item", hashlib.sha256(content).hexdigest()),)
    monkeypatch.setattr(movielens, "download", unreachable)
    monkeypatch.setattr(movielens, "pip_download", lambda requirement, directory: wheel)
    monkeypatch.setattr(movielens, "RECBOLE_FILES", wanted)
    place = movielens.fetch_movielens("ml-100k", tmp_path / "data")
    assert (place / "ml-100k.item").read_bytes() == content
    # The second time it is there already.
    monkeypatch.setattr(movielens, "pip_download", None)
    assert movielens.fetch_movielens("ml-100k", tmp_path / "data") == place


def test_larger_data_sets_have_no_other_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movielens, "download", unreachable)
    with pytest.raises(DataError, match="only ml-100k"):
        movielens.fetch_movielens("ml-32m", tmp_path)


def test_a_published_hash_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = archive(tmp_path / "a.zip", {"m/movies.csv": b"movies"}).read_bytes()
    digest = hashlib.md5(packed).hexdigest()  # noqa: S324 - what GroupLens publishes
    published = f"{digest}  ml-latest-small.zip"

    def answer(url: str, path: Path) -> None:
        path.write_bytes(published.encode() if url.endswith(".md5") else packed)

    monkeypatch.setattr(movielens, "download", answer)
    place = movielens.fetch_movielens("ml-latest-small", tmp_path / "one")
    assert (place / "movies.csv").read_bytes() == b"movies"
    published = f"MD5 (ml-latest-small.zip) = {'0' * 32}"
    with pytest.raises(DataError, match="md5"):
        movielens.fetch_movielens("ml-latest-small", tmp_path / "two")
