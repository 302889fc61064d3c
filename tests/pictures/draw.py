"""A row of a dashboard as a picture: one panel beside the other, as Grafana would show them."""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from monitoring.dashboards.build import Panel, Row

ACROSS = 3
COLOURS = ["#1f77b4", "#e07b00", "#2a9d4a", "#9467bd", "#8c564b", "#17a2b8", "#7f7f7f", "#bcbd22"]
LIMIT = "#c62828"
_LABEL = re.compile(r"{{(\w+)}}")


class Line(NamedTuple):
    """One series: its name in the legend, minutes since the beginning, and values."""

    name: str
    minutes: list[float]
    values: list[float]


Lines = Callable[[Panel], list[Line]]
"""What a panel shows."""


def legend(pattern: str, labels: dict[str, str]) -> str:
    """The name of a series, as Grafana makes it."""
    return _LABEL.sub(lambda label: labels.get(label[1], ""), pattern).strip() or "value"


def draw(row: Row, lines: Lines, file: Path, note: str) -> None:
    """Write the row as a PNG."""
    down = math.ceil(len(row.panels) / ACROSS)
    across = min(ACROSS, len(row.panels))
    figure, axes = plt.subplots(down, across, figsize=(4.4 * across, 2.5 * down + 0.5), squeeze=False)
    places = list(axes.flat)
    for place, panel in zip(places, row.panels, strict=False):
        _panel(place, panel, lines(panel))
    for place in places[len(row.panels) :]:
        place.set_axis_off()
    figure.suptitle(row.title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.text(0.99, 0.005, note, ha="right", va="bottom", fontsize=6.5, color="#777777")
    figure.tight_layout(rect=(0, 0.02, 1, 0.99))
    figure.savefig(file, dpi=72)
    plt.close(figure)


def _panel(place: Axes, panel: Panel, lines: Sequence[Line]) -> None:
    place.set_title(panel.title, fontsize=9.5, loc="left")
    if panel.kind in ("stat", "table"):
        _words(place, panel, lines)
        return
    place.grid(alpha=0.25)
    place.tick_params(labelsize=7.5)
    place.spines[["top", "right"]].set_visible(False)
    place.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value, panel.unit)))
    place.set_xlabel("minutes", fontsize=7)
    if not lines:
        place.text(0.5, 0.5, "no data", ha="center", va="center", transform=place.transAxes, color="#777777")
        return
    shown = sorted(lines, key=lambda line: line.name)
    if panel.stack:
        moments = sorted({minute for line in shown for minute in line.minutes})
        heights = [
            [dict(zip(line.minutes, line.values, strict=True)).get(m, math.nan) for m in moments] for line in shown
        ]
        colours = [COLOURS[n % len(COLOURS)] for n in range(len(shown))]
        place.stackplot(moments, heights, labels=[line.name for line in shown], colors=colours, alpha=0.75)
    else:
        for number, line in enumerate(shown):
            place.plot(line.minutes, line.values, label=line.name, color=COLOURS[number % len(COLOURS)], linewidth=1.4)
    _scale(place, panel, shown)
    place.legend(fontsize=6.5, loc="best", framealpha=0.8, ncols=1 if len(shown) < 5 else 2)


def _scale(place: Axes, panel: Panel, lines: Sequence[Line]) -> None:
    """The limit is drawn where it would be seen: a line far above all values would press them to the floor."""
    place.set_xlim(0, max(line.minutes[-1] for line in lines))
    values = [value for line in lines for value in line.values if not math.isnan(value)]
    top, bottom = max(values, default=0.0), min(values, default=0.0)
    high = 1.08 * top if top > 0 else (panel.limit or 1.0)
    low = min(0.0, 1.08 * bottom)
    place.set_ylim(low, high)
    if panel.limit is None:
        return
    if top <= 0 or panel.limit <= 3 * top:
        place.axhline(panel.limit, color=LIMIT, linestyle="--", linewidth=1)
        place.set_ylim(low, max(high, 1.1 * panel.limit))
    else:
        place.text(0.99, 0.97, f"limit {written(panel.limit, panel.unit)} ↑", color=LIMIT, fontsize=7, ha="right", va="top",
                   transform=place.transAxes)  # fmt: skip


def _words(place: Axes, panel: Panel, lines: Sequence[Line]) -> None:
    place.set_axis_off()
    if panel.kind == "table":
        text = "\n".join(line.name for line in lines) or "none"
        place.text(
            0.02, 0.85, text, fontsize=11, va="top", color=LIMIT if lines else "#2a9d4a", transform=place.transAxes
        )
        return
    for number, line in enumerate(lines[:3]):
        wrong = line.values[-1] > panel.limit if panel.limit is not None else line.values[-1] == 0
        colour = LIMIT if wrong else "#2a9d4a"
        height = 0.62 - 0.3 * number
        place.text(
            0.02, height, written(line.values[-1], panel.unit), fontsize=22, color=colour, transform=place.transAxes
        )
        place.text(0.98, height, line.name, fontsize=8, ha="right", color="#555555", transform=place.transAxes)


def written(value: float, unit: str) -> str:
    """A value with its unit, short."""
    match unit:
        case "percentunit":
            return f"{value * 100:.3g} %"
        case "s":
            scale: Any = ((60, 60, "min"), (1, 1, "s"), (1e-3, 1e-3, "ms"), (0, 1e-6, "µs"))
            _least, by, name = next(one for one in scale if abs(value) >= one[0])
            return f"{value / by:.3g} {name}" if value else "0"
        case "bytes":
            return f"{value / 2**20:.4g} MiB"
        case "reqps":
            return f"{value:.3g}/s"
        case _:
            return f"{value:,.4g}"
