"""One process at a time writes to a folder: of two, each would write over what the other has."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ranker.errors import DataError


@contextmanager
def alone(folder: Path, command: str) -> Iterator[None]:
    """The lock goes with the process, however that ends. Raises DataError where another has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"{folder} is being written by another `{command}`") from error
        yield
    finally:
        os.close(lock)
