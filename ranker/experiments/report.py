"""An outcome on disk: a JSON of all figures, a Markdown page that says what they mean, and its plots."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ranker.experiments.bootstrap import Estimate

COLOURS = ("#0b6e99", "#d9730d", "#6b6b6b", "#448361", "#9065b0")
"""Told apart in print and by the colour-blind; the first is always the towers or the default."""


def write(folder: Path, name: str, outcome: msgspec.Struct, page: str) -> None:
    """`name`.json and `name`.md in `folder`. NaN becomes null."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(outcome)) + b"\n")
    (folder / f"{name}.md").write_text(page)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table: the first column and notes to the left, figures to the right."""
    rule = ["---" if not place or name == "note" else "---:" for place, name in enumerate(header)]
    lines = [header, rule, *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _cell(value: object) -> str:
    if value is None or (isinstance(value, Estimate) and value.value != value.value):
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value).replace("|", "\\|")


@contextmanager
def figure(path: Path, title: str, columns: int = 1, *, width: float = 7, height: float = 4.5) -> Iterator[list[Any]]:
    """The axes of a plot, side by side, which is written to `path` at the end."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawn)
    drawn.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
    axes = [drawn.add_subplot(1, columns, place + 1) for place in range(columns)]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.25)
        each.set_axisbelow(True)
    yield axes
    drawn.savefig(path, dpi=130)


def whiskers(estimates: Sequence[Estimate]) -> list[list[float]]:
    """The lengths below and above, (2, n), as matplotlib's `errorbar` takes them."""
    return [
        [max(0.0, each.value - each.low) for each in estimates],
        [max(0.0, each.high - each.value) for each in estimates],
    ]
