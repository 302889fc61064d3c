"""What a training that was killed goes on from: a folder beside the towers, gone when they are finished."""

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import torch

from ranker.durable import replacing
from ranker.errors import ConfigError, DataError

FOLDER = "unfinished-training"
SETTINGS = "settings.json"
EVERY = 30.0
"""Seconds between two checkpoints of a phase."""


class Checkpoint:
    """States by name. What is on the disk is whole, whenever the process ends."""

    def __init__(self, folder: Path, settings: Mapping[str, object], *, fresh: bool = False, kept: bool = True) -> None:
        """Opens what lies in `folder`, or starts it; with `fresh` always anew.

        `settings` (plain JSON) are all that the outcome depends on. Raises ConfigError where the folder's are others.
        Nothing is saved unless `kept`.
        """
        self._folder, self._kept = folder, kept
        self._saved = time.monotonic()
        if fresh or not (folder / SETTINGS).is_file():
            self.remove()
            if kept:
                self._start(settings)
        else:
            self._compare(settings)

    def due(self) -> bool:
        """Whether the last one is old enough."""
        return self._kept and time.monotonic() - self._saved >= EVERY

    def save(self, name: str, state: Mapping[str, Any]) -> None:
        """Replace the state of this name by one of tensors and plain values."""
        if not self._kept:
            return
        try:
            with replacing(self._folder / f"{name}.pt") as file:
                torch.save(dict(state), file)
        except OSError as error:
            raise DataError(f"{self._folder}: the checkpoint cannot be written: {error}") from error
        self._saved = time.monotonic()

    def load(self, name: str) -> dict[str, Any] | None:
        """The state of this name, or None where there is none yet."""
        path = self._folder / f"{name}.pt"
        try:
            return torch.load(path, weights_only=True) if path.is_file() else None
        except Exception as error:  # a damaged file raises whatever its damage leads to
            raise DataError(f"{path}: damaged; start anew with --fresh") from error

    def remove(self) -> None:
        """The settings first: without them the rest is nobody's, however far the removal comes. What is not a checkpoint's
        stays, and the folder with it."""
        if not self._folder.is_dir():
            return
        (self._folder / SETTINGS).unlink(missing_ok=True)
        for left in (*self._folder.glob("*.pt"), *self._folder.glob("*.part")):
            left.unlink(missing_ok=True)
        with suppress(OSError):  # not empty
            self._folder.rmdir()

    def _start(self, settings: Mapping[str, object]) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._folder / SETTINGS) as file:
                file.write(msgspec.json.format(msgspec.json.encode(settings)))
        except OSError as error:
            raise DataError(f"{self._folder}: the checkpoint cannot be written: {error}") from error

    def _compare(self, settings: Mapping[str, object]) -> None:
        try:
            kept = msgspec.json.decode((self._folder / SETTINGS).read_bytes(), type=dict[str, object])
        except (OSError, msgspec.MsgspecError) as error:
            raise DataError(f"{self._folder / SETTINGS}: {error}; start anew with --fresh") from error
        others = [
            f"{name} {kept.get(name)} instead of {now}" for name, now in settings.items() if kept.get(name) != now
        ]
        if others:
            raise ConfigError(
                f"{self._folder} is of an unfinished training with {', '.join(others)}: give the same options to go on "
                f"with it, another --out, or --fresh to start anew"
            )
