"""Which core does what: the work that is measured has one to itself, brokers and load have another."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct


class Cores(Struct, frozen=True):
    """Numbers of cores; None where this machine cannot pin, or has too few."""

    work: int | None
    load: int | None

    @classmethod
    def here(cls) -> "Cores":
        if not hasattr(os, "sched_getaffinity"):
            return cls(None, None)
        mine = sorted(os.sched_getaffinity(0))
        return cls(mine[-1], mine[0] if len(mine) > 1 else None)

    @property
    def wrap(self) -> tuple[str, ...]:
        """Goes before the command of a process that is to have the core of the work."""
        return ("taskset", "-c", str(self.work)) if self.work is not None and shutil.which("taskset") else ()


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """This process, and those that it starts, run on `core` alone."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
