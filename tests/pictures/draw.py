"""A row of a dashboard as a picture: one panel beside the other, as Grafana would show them."""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from monitoring.dashboards.build import Panel, Row

ACROSS = 3
COLOURS = ["#1f77b4", "#e07b00", "#2a9d4a", "#9467bd", "#8c564b", "#17a2b8", "#7f7f7f", "#bcbd22"]
STYLES = ["-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2))]
"""So that a line that lies on another one does not hide it."""
LIMIT, WELL, GREY = "#c62828", "#2a9d4a", "#555555"
HEIGHT, WORDS_HEIGHT, ENTRY = 2.5, 1.3, 0.17
"""Inches of a panel, of one that has only words, and of a line of a legend."""
_LABEL = re.compile(r"{{(\w+)}}")


class Line(NamedTuple):
    """One series: its name in the legend, minutes since the beginning, and values."""

    name: str
    minutes: list[float]
    values: list[float]


class Span(NamedTuple):
    """Minutes during which something was the matter."""

    begin: float
    end: float
    what: str


Lines = Callable[[Panel], list[Line]]
"""What a panel shows."""


def legend(pattern: str, labels: dict[str, str]) -> str:
    """The name of a series, as Grafana makes it."""
    return _LABEL.sub(lambda label: labels.get(label[1], ""), pattern).strip() or "value"


def draw(row: Row, lines: Lines, file: Path, note: str, span: Span | None = None) -> None:
    """Write the row as a PNG."""
    panels = [(panel, sorted(lines(panel), key=lambda line: line.name)) for panel in row.panels]
    down, across = math.ceil(len(panels) / ACROSS), min(ACROSS, len(panels))
    grid = [panels[first : first + ACROSS] for first in range(0, len(panels), ACROSS)]
    heights = [max(_height(panel, shown) for panel, shown in part) for part in grid]
    size = (4.4 * across, sum(heights) + 0.7)
    figure, axes = plt.subplots(down, across, figsize=size, squeeze=False, height_ratios=heights)
    places = list(axes.flat)
    for place, (panel, shown) in zip(places, panels, strict=False):
        _panel(place, panel, shown, span)
    for place in places[len(panels) :]:
        place.set_axis_off()
    figure.suptitle(row.title, x=0.01, y=1 - 0.08 / size[1], ha="left", va="top", fontsize=12, fontweight="bold")
    figure.text(0.01, 1 - 0.36 / size[1], note, ha="left", va="top", fontsize=8.5, color=GREY)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.5 / size[1]))
    figure.savefig(file, dpi=72)
    plt.close(figure)


def _columns(lines: Sequence[Line]) -> int:
    """Of a legend, so that it is no wider than its panel."""
    longest = max((len(line.name) for line in lines), default=0)
    return max(1, min(4, len(lines), 62 // (longest + 6)))


def _height(panel: Panel, lines: Sequence[Line]) -> float:
    if panel.kind != "timeseries":
        return WORDS_HEIGHT
    return HEIGHT + ENTRY * math.ceil(len(lines) / _columns(lines))


def _panel(place: Axes, panel: Panel, lines: Sequence[Line], span: Span | None) -> None:
    place.set_title(panel.title, fontsize=9.5, loc="left", pad=14)  # above what is written over a span
    if panel.kind != "timeseries":
        _words(place, panel, lines)
        return
    place.spines[["top", "right"]].set_visible(False)
    if not lines:
        place.set(xticks=[], yticks=[])
        place.text(0.5, 0.5, "no data", ha="center", va="center", transform=place.transAxes, color=GREY)
        return
    place.grid(alpha=0.25)
    place.tick_params(labelsize=7.5)
    place.set_xlabel("minutes", fontsize=7, loc="right", labelpad=1)
    place.set_xlim(0, max(line.minutes[-1] for line in lines))
    moments = sorted({minute for line in lines for minute in line.minutes})
    rows = [[dict(zip(line.minutes, line.values, strict=True)).get(m, math.nan) for m in moments] for line in lines]
    tops = [sum(v for v in column if not math.isnan(v)) for column in zip(*rows, strict=True)] if panel.stack else [
        v for row in rows for v in row if not math.isnan(v)
    ]  # fmt: skip
    by, unit = scale(panel.unit, max(map(abs, tops), default=0.0))
    rows = [[value / by for value in row] for row in rows]
    if panel.stack:
        colours = [COLOURS[n % len(COLOURS)] for n in range(len(lines))]
        # What one worker does not tell is a gap of its own, and none of the others'.
        rows = [[0.0 if math.isnan(value) else value for value in row] for row in rows]
        place.stackplot(moments, rows, labels=[line.name for line in lines], colors=colours, alpha=0.75)
    else:
        for n, (line, values) in enumerate(zip(lines, rows, strict=True)):
            colour, style = COLOURS[n % len(COLOURS)], STYLES[n % len(STYLES)]
            place.plot(moments, values, label=line.name, color=colour, linestyle=style, linewidth=1.6)
    place.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}{unit}")
    _frame(place, panel, [top / by for top in tops], by)
    if span:
        above = place.get_xaxis_transform()
        place.axvspan(span.begin, span.end, color=LIMIT, alpha=0.08, linewidth=0)
        place.text(span.begin, 1, span.what, fontsize=6.5, color=LIMIT, va="bottom", transform=above)
    place.legend(fontsize=6.8, loc="upper left", bbox_to_anchor=(-0.02, -0.23), ncols=_columns(lines), frameon=False,
                 borderaxespad=0, handlelength=2.6, columnspacing=1.2)  # fmt: skip


def _frame(place: Axes, panel: Panel, values: Sequence[float], by: float) -> None:
    """The limit is drawn where it would be seen: a line far above all values would press them to the floor."""
    limit = None if panel.limit is None else panel.limit / by
    top, bottom = max(values, default=0.0), min(values, default=0.0)
    high = top if top > 0 else (limit or 1.0)
    if limit is not None and (top <= 0 or limit <= 3 * top):
        high = max(high, limit)
        place.axhline(limit, color=LIMIT, linestyle="--", linewidth=1)
    elif panel.limit is not None:
        place.text(0.99, 0.97, f"limit {written(panel.limit, panel.unit)} ↑", color=LIMIT, fontsize=7, ha="right", va="top",
                   transform=place.transAxes)  # fmt: skip
    # A little below 0, or a line at 0 would be taken for the axis.
    place.set_ylim(min(-0.04 * high, 1.08 * bottom), 1.08 * high)


def _words(place: Axes, panel: Panel, lines: Sequence[Line]) -> None:
    """The last values, large."""
    place.set_axis_off()
    if panel.kind == "table":
        text = "\n".join(line.name for line in lines) or "none"
        place.text(0.02, 0.85, text, fontsize=11, va="top", color=LIMIT if lines else WELL, transform=place.transAxes)
        return
    if not lines:
        place.text(0.02, 0.5, "no data", fontsize=14, color=LIMIT, transform=place.transAxes)
    for number, line in enumerate(lines[:3]):
        wrong = panel.limit is not None and line.values[-1] >= panel.limit
        said = written(line.values[-1], panel.unit)
        height = 0.5 - 0.35 * number
        place.text(0.02, height, said, fontsize=20, color=LIMIT if wrong else WELL, transform=place.transAxes)
        place.text(0.4, height, line.name, fontsize=8, color=GREY, transform=place.transAxes)


def scale(unit: str, top: float) -> tuple[float, str]:
    """What values up to `top` are divided by, and the unit that they then have, so that an axis has round numbers."""
    match unit:
        case "percentunit":
            return 0.01, " %"
        case "s":
            steps = ((120.0, 60.0, " min"), (1.0, 1.0, " s"), (1e-3, 1e-3, " ms"), (1e-12, 1e-6, " µs"))
            return next(((by, name) for least, by, name in steps if top >= least), (1.0, " s"))
        case "bytes":
            return 2.0**20, " MiB"
        case "reqps":
            return 1.0, "/s"
        case _:
            return 1.0, ""


def written(value: float, unit: str) -> str:
    """A value with its unit, short."""
    by, name = scale(unit, abs(value))
    return f"{value / by:,.4g}{name}"
