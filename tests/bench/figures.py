"""What a benchmark reports, and how it is shown."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from tests.bench.cores import Cores


class Bound(Struct, frozen=True):
    """What a figure has to reach."""

    of: Literal["value", "ratio"]
    sense: Literal["at most", "at least"]
    limit: float

    def met(self, figure: "Figure") -> bool:
        reached = figure.value if self.of == "value" else figure.ratio
        if reached is None:
            return False
        return reached <= self.limit if self.sense == "at most" else reached >= self.limit


class Figure(Struct, frozen=True):
    """One line of the report. A ratio is to something that was measured in the same run, interleaved with it."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    to: str | None = None
    """What the ratio is to."""
    bounds: tuple[Bound, ...] = ()
    least: float | None = None
    """The smallest of the repeats whose median is `value`, where they are many."""

    def line(self) -> str:
        parts = [f"{self.name:<32}", f"{_number(self.value):>9} {self.unit:<10}"]
        if self.ratio is not None:
            parts.append(f"{self.ratio:6.2f} × {self.to}")
        if self.least is not None:
            parts.append(f"(least {_number(self.least)})")
        for bound in self.bounds:
            unit = f" {self.unit}" if bound.of == "value" else " ×"
            parts.append(f"[{bound.sense} {_number(bound.limit)}{unit}: {'ok' if bound.met(self) else 'MISSED'}]")
        return " ".join(parts).rstrip()


class Bench(Struct, frozen=True):
    """What every group is given."""

    bundle: Path
    folder: Path
    """For whatever a group writes; empty at first."""
    cores: Cores


Group = Callable[[Bench], Iterator[Figure]]
"""Yields figures as they are measured. Its docstring's first line says what it measures."""


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
