"""What is made once for all processes that run the tests."""

import atexit
import fcntl
import shutil
import tempfile
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path

_shared: list[Path] = []


def share(path: Path) -> None:
    """From now on `folder` is this one, which belongs to whoever started this process."""
    _shared.append(path)


@cache
def folder() -> Path:
    """A folder that goes when the tests end."""
    if _shared:
        return _shared[-1]
    path = Path(tempfile.mkdtemp(prefix="ctrlrec-tests-"))
    atexit.register(shutil.rmtree, path)
    return path


def once(make: Callable[[], Path]) -> Callable[[], Path]:
    """The path that `make` returns: the first process makes what lies there in `folder`, and the others wait for it."""

    @cache
    @wraps(make)
    def made() -> Path:
        name = f"{make.__module__}.{make.__name__}"
        answer = folder() / f"{name}.path"
        with (folder() / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not answer.exists():
                answer.write_text(str(make()))
        return Path(answer.read_text())

    return made
