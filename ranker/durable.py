"""What must be on the disk before anything else is said of it."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Have the disk hold what was written, in a file or of a directory's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
