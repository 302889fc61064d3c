"""A store of bundles: a directory with one bundle a version, and a pointer to the one that is served.

The pointer is a small file and no symbolic link: it tells the active version and those before it in one replacement, so
that they never disagree, and it works on volumes that know no links. Whoever reads it opens `STORE/VERSION`, which
never changes, and so never sees parts of two bundles.
"""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from ranker.bundle import MANIFEST, Bundle, Manifest, damage, read_manifest
from ranker.durable import sync
from ranker.errors import BundleError

POINTER = "active.json"
REMEMBERED = 10
"""Activations that can be rolled back."""
INCOMING, ABANDONED = ".incoming-", 3600.0
"""Name of what is being copied or removed, and the seconds after which it is nobody's."""

Version = Annotated[str, Meta(pattern="^[0-9a-f]{12}$")]
"""Nothing that could lead out of the store."""


class Pointer(Struct, frozen=True):
    """What is served, and what was before it."""

    active: Version
    before: list[Version] = []
    """What `rollback` goes back to, the latest first."""
    since: float = 0.0
    """When it was written: to activate the active version again is a change too, and has it tried again."""


class Held(NamedTuple):
    """A version in the store, and what its manifest says unless that cannot be read."""

    version: str
    folder: Path
    manifest: Manifest | None


class Store:
    """The bundles in `folder`, which need not be there yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __bool__(self) -> bool:
        """Whether there is anything to be served. A directory with one bundle in it is no store."""
        return (self.folder / POINTER).is_file()

    def folder_of(self, version: str) -> Path:
        return self.folder / version

    def held(self) -> list[Held]:
        """All versions, by name."""
        if not self.folder.is_dir():
            return []
        folders = sorted(path for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        return [Held(folder.name, folder, _manifest(folder)) for folder in folders]

    def pointer(self) -> Pointer:
        """Raises BundleError where nothing was ever activated, or the file is damaged."""
        file = self.folder / POINTER
        try:
            return msgspec.json.decode(file.read_bytes(), type=Pointer)
        except OSError as error:
            raise BundleError(
                f"{file} cannot be read ({error.strerror}): `ctrlrec bundle activate` writes it"
            ) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BundleError(
                f"{file} is damaged ({error}): `ctrlrec bundle activate VERSION` writes it anew"
            ) from error

    def load(self, version: str, *, threads: int = 1) -> Bundle:
        """Verify and load. Raises BundleError as `Bundle.load` does, and for a bundle under another's name."""
        bundle = Bundle.load(self.folder_of(version), threads=threads)
        if bundle.version != version:
            raise BundleError(f"{self.folder_of(version)} holds bundle {bundle.version}")
        return bundle

    def check(self, version: str) -> None:
        """Raise BundleError unless the version is whole and both its towers can be served."""
        if not self.folder_of(version).is_dir():
            known = ", ".join(held.version for held in self.held()) or "none"
            raise BundleError(f"{self.folder} holds no bundle {version}; there are: {known}")
        _ = self.load(version).item_tower

    def add(self, folder: Path) -> str:
        """Copy a bundle into the store; its version. One that is there already stays, unless it is damaged.

        Raises BundleError if the bundle is not whole: the store is then as it was.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        scratch = Path(tempfile.mkdtemp(prefix=INCOMING, dir=self.folder))
        try:
            copy = scratch / "bundle"
            manifest = read_manifest(folder)
            _refuse(damage(folder, manifest))
            there = self.folder_of(manifest.version)
            if not there.exists() or faults(there):
                shutil.copytree(folder, copy)
                _refuse(damage(copy, manifest))
                # On the disk before it has its name: a pointer to it must not outlive it.
                for path in (*copy.iterdir(), copy):
                    sync(path)
                if there.exists():
                    there.rename(scratch / "damaged")
                copy.rename(there)
                sync(self.folder)
        except OSError as error:
            raise BundleError(f"{folder} cannot be copied to {self.folder}: {error}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return manifest.version

    def activate(self, version: str) -> Pointer:
        """Serve this version from now on. Raises BundleError, and changes nothing, if it cannot be served."""
        self.check(version)
        before: list[str] = []
        # What a damaged pointer said is lost; to write it anew is the way out.
        with suppress(BundleError):
            old = self.pointer()
            before = old.before if old.active == version else [old.active, *old.before]
        return self._point(Pointer(version, before[:REMEMBERED], time()))

    def rollback(self) -> Pointer:
        """Serve what was served before. Raises BundleError, and changes nothing, if there is none or it is damaged."""
        pointer = self.pointer()
        if not pointer.before:
            raise BundleError(f"{self.folder} has served nothing before {pointer.active}; activate a version by name")
        self.check(pointer.before[0])
        return self._point(Pointer(pointer.before[0], pointer.before[1:], time()))

    def prune(self, keep: int) -> list[str]:
        """Remove versions, all but the active one and the `keep` that were served before it; those removed.

        Raises BundleError, and removes nothing, where it cannot be told which is served.
        """
        pointer = self.pointer()
        kept = {pointer.active, *pointer.before[:keep]}
        self._point(Pointer(pointer.active, pointer.before[:keep], pointer.since))
        removed = [held.version for held in self.held() if held.version not in kept]
        for version in removed:
            # Renamed first: whoever looks meanwhile sees all of a version or nothing.
            doomed = Path(tempfile.mkdtemp(prefix=INCOMING, dir=self.folder))
            self.folder_of(version).rename(doomed / "removed")
            shutil.rmtree(doomed, ignore_errors=True)
        self._sweep()
        return removed

    def _sweep(self) -> None:
        """Remove what was left behind by whoever was killed, long enough ago to be no one's work."""
        for path in self.folder.glob(INCOMING + "*"):
            if time() - path.stat().st_mtime > ABANDONED:
                shutil.rmtree(path, ignore_errors=True)

    def _point(self, pointer: Pointer) -> Pointer:
        """Replace the pointer in one step, after which it is on the disk."""
        handle, name = tempfile.mkstemp(prefix=".pointer-", dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(pointer))
                file.flush()
                os.fsync(handle)
            Path(name).chmod(0o644)
            Path(name).replace(self.folder / POINTER)
            sync(self.folder)
        except OSError as error:
            Path(name).unlink(missing_ok=True)
            raise BundleError(f"{self.folder / POINTER} cannot be written: {error.strerror}") from error
        return pointer


def served(folder: Path) -> Path:
    """The bundle itself where `folder` is one, the active one where it is a store."""
    store = Store(folder)
    return store.folder_of(store.pointer().active) if store else folder


def faults(folder: Path) -> list[str]:
    """All that is wrong with a bundle: nothing, if it is whole."""
    try:
        return damage(folder, read_manifest(folder))
    except BundleError as error:
        return [str(error)]


def _refuse(wrong: list[str]) -> None:
    if wrong:
        raise BundleError("; ".join(wrong))


def _manifest(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder)
    except BundleError:
        return None


def is_bundle(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()
