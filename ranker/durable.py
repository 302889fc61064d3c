"""What must be on the disk before anything else is said of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def sync(path: Path) -> None:
    """Have the disk hold what was written, in a file or of a directory's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(file: Path, prefix: str = "", suffix: str = ".part") -> Iterator[BinaryIO]:
    """What is written becomes `file` in one step, when the disk holds all of it: whole, or not at all.

    Until then it has a `prefix` or `suffix` to its name. Raises OSError.
    """
    unfinished = file.with_name(prefix + file.name + suffix)
    with unfinished.open("wb") as opened:
        yield opened
        opened.flush()
        os.fsync(opened.fileno())
    unfinished.replace(file)
    sync(file.parent)
