"""What `ctrlrec bundle list` and `verify` tell of a store, or of a single bundle."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct
from rich.table import Table

from ranker.bundle import MANIFEST, Manifest, read_manifest
from ranker.errors import ConfigError
from ranker.store import Held, Store, faults, is_bundle
from ranker.vectors import SCALES

State = Literal["active", "previous", ""]


class Entry(Struct, frozen=True):
    """A line of the list. What a damaged bundle does not tell is null."""

    version: str
    state: State
    folder: str
    name: str | None = None
    made: str | None = None
    """UTC, ISO 8601: when its manifest was written."""
    backbone: str | None = None
    dimension: int | None = None
    items: int | None = None
    auc: float | None = None
    """Mean over the categories of requests, where the training measured it."""


class Verified(Struct, frozen=True):
    bundle: str
    damage: list[str]


class _Evaluation(Struct):
    auc: dict[str, float]
    split: str


def entries(folder: Path) -> list[Entry]:
    """The versions of a store, the newest first. Raises BundleError where the pointer is damaged."""
    if is_bundle(folder):
        manifest = read_manifest(folder)
        return [_entry(Held(manifest.version, folder, manifest), "active")]
    store = Store(folder)
    states: dict[str, State] = {}
    if store:
        pointer = store.pointer()
        for version in pointer.before[:1]:
            states[version] = "previous"
        states[pointer.active] = "active"
    found = [_entry(held, states.get(held.version, "")) for held in store.held()]
    found += [
        Entry(version, state, "") for version, state in states.items() if version not in {e.version for e in found}
    ]
    return sorted(found, key=lambda entry: entry.made or "", reverse=True)


def verified(folder: Path, bundles: Sequence[str]) -> list[Verified]:
    """What is wrong with each of these versions or directories, or with all that the store holds.

    Raises ConfigError for what is neither.
    """
    if is_bundle(folder) and not bundles:
        return [Verified(str(folder), faults(folder))]
    store = Store(folder)
    held = {each.version: each for each in store.held()}
    wanted = list(bundles) or sorted({*held, *([store.pointer().active] if store else [])})
    found = []
    for name in wanted:
        if name in held or not bundles:
            found.append(Verified(name, _faults(store, name)))
        elif Path(name).is_dir():
            found.append(Verified(name, faults(Path(name))))
        else:
            known = ", ".join(held) or "none"
            raise ConfigError(f"{name} is no directory, and no version in {folder}; there are: {known}")
    if not found:
        raise ConfigError(f"{folder} holds no bundle; `ctrlrec bundle activate PATH` puts one there")
    return found


def table(found: Sequence[Entry]) -> Table:
    """For people."""
    lines = Table()
    for heading in ("version", "", "name", "made (UTC)"):
        lines.add_column(heading, no_wrap=True)
    lines.add_column("backbone", overflow="fold")
    for heading in ("dim.", "items", "AUC"):
        lines.add_column(heading, justify="right", no_wrap=True)
    for entry in found:
        if not entry.folder:
            lines.add_row(entry.version, entry.state, "[red]missing[/]")
        elif entry.name is None or entry.made is None:
            lines.add_row(entry.version, entry.state, "[red]damaged[/]")
        else:
            lines.add_row(
                entry.version,
                f"[green]{entry.state}[/]" if entry.state == "active" else entry.state,
                entry.name,
                entry.made[:16].replace("T", " "),
                entry.backbone,
                str(entry.dimension),
                "?" if entry.items is None else f"{entry.items:,}",
                "" if entry.auc is None else f"{entry.auc:.3f}",
            )
    return lines


def _entry(held: Held, state: State) -> Entry:
    manifest = held.manifest
    if manifest is None:
        return Entry(held.version, state, str(held.folder))
    return Entry(
        version=held.version,
        state=state,
        folder=str(held.folder),
        name=manifest.name,
        made=datetime.fromtimestamp(int((held.folder / MANIFEST).stat().st_mtime), UTC).isoformat(),
        backbone=manifest.backbone,
        dimension=manifest.dimension,
        items=_items(held.folder),
        auc=_auc(manifest),
    )


def _faults(store: Store, version: str) -> list[str]:
    folder = store.folder_of(version)
    if wrong := faults(folder):
        return wrong
    found = read_manifest(folder).version
    return [] if found == version else [f"{folder} holds bundle {found}"]


def _items(folder: Path) -> int | None:
    try:
        return int(np.load(folder / SCALES, mmap_mode="r").shape[0])
    except (OSError, ValueError):
        return None


def _auc(manifest: Manifest) -> float | None:
    try:
        measured = msgspec.convert(manifest.training.get("evaluation"), _Evaluation)
    except msgspec.ValidationError:
        return None
    # Earlier trainings were measured in other phrasings; figures in one column should be comparable.
    auc = measured.auc if measured.split == "usual" else {}
    return sum(auc.values()) / len(auc) if auc else None
