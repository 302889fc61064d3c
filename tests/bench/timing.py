"""Timing in process: product and peer by turns, so that what disturbs one disturbs the other."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from time import perf_counter
from typing import NamedTuple, TypeVar

T = TypeVar("T")
MICRO = 1e6


class Timing(NamedTuple):
    """Seconds of one call."""

    median: float
    least: float


def by_turns(calls: Sequence[Callable[[T], object]], inputs: Sequence[T], repeats: int) -> list[Timing]:
    """Time each of `calls` on each of `inputs`, `repeats` times over, after one round that does not count."""
    seconds: list[list[float]] = [[] for _ in calls]
    with no_garbage_collection():
        for round_ in range(repeats + 1):
            for value in inputs:
                for call, spent in zip(calls, seconds, strict=True):
                    start = perf_counter()
                    call(value)
                    end = perf_counter()
                    if round_:
                        spent.append(end - start)
    return [Timing(median(spent), min(spent)) for spent in seconds]


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
