"""Which core does what: the work that is measured has one to itself, or two, brokers and load have the others."""

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from msgspec import Struct


class Cores(Struct, frozen=True):
    """Numbers of cores; None and nothing where this machine cannot pin, or has too few."""

    work: int | None = None
    second: int | None = None
    """Of another worker beside the first; where there are but two cores, the load has it too."""
    load: frozenset[int] = frozenset()

    @classmethod
    def here(cls) -> "Cores":
        return cls.of(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cls()

    @classmethod
    def of(cls, cores: Collection[int]) -> "Cores":
        *others, work = sorted(cores)
        if len(others) < 2:
            return cls(work, others[0] if others else None, frozenset(others))
        return cls(work, others[-1], frozenset(others[:-1]))

    @property
    def enough(self) -> bool:
        """For two workers, the broker and the load: none of them waits for another."""
        return len(self.load) > 1

    @property
    def wrap(self) -> tuple[str, ...]:
        """Goes before the command of a process that is to have the core of the work."""
        return pinned(self.work)


def pinned(core: int | None) -> tuple[str, ...]:
    """Goes before the command of a process that is to have `core`."""
    return ("taskset", "-c", str(core)) if core is not None and shutil.which("taskset") else ()


@contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """This process, and those that it starts, run on `cores` alone; wherever they like, if there are none."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """The same of one core, or of none."""
    with on_cores(() if core is None else (core,)):
        yield
