"""Very many variants, every two of them, as a picture."""

from pathlib import Path
from typing import Any

import numpy as np

from streams.replay.pairs import Doubles, pairs_of
from streams.replay.report import Report

FIGURES_UP_TO = 16
"""Variants; of more of them, a number has no room in its square."""


def draw_pairs(pyplot: Any, report: Report, file: Path) -> None:
    """A square for each two: overlap, ρ, and how much the gain changes from a row's to a column's variant."""
    names = [variant.name for variant in report.variants]
    side = max(4.0, 0.45 * len(names))
    panels = [
        ("top-10 overlap", _square(report, lambda pair: pair.overlap, 1.0, 1), "viridis"),
        ("Spearman's ρ", _square(report, lambda pair: pair.rho, 1.0, 1), "viridis"),
        ("adherence gain, column less row", _square(report, lambda pair: pair.differences["gain"], 0.0, -1), "RdBu"),
    ]
    panels = [panel for panel in panels if not np.isnan(panel[1][~np.eye(len(names), dtype=bool)]).all()]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(side * len(panels) + 2, side + 1), squeeze=False)
    for axis, (title, square, colours) in zip(axes[0], panels, strict=True):
        most = float(np.nanmax(np.abs(square))) or 1.0
        limits = (-most, most) if colours == "RdBu" else (float(np.nanmin(square)), 1.0)
        image = axis.imshow(square, cmap=colours, vmin=limits[0], vmax=limits[1])
        axis.set_title(title, fontsize=10)
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axis.set_yticks(range(len(names)), names, fontsize=7)
        figure.colorbar(image, ax=axis, shrink=0.8)
        if len(names) <= FIGURES_UP_TO:
            _write(axis, square, limits, both_ends_dark=colours == "RdBu")
    figure.tight_layout()
    figure.savefig(file, dpi=110, bbox_inches="tight")


def _square(report: Report, figure: Any, same: float, other_way: int) -> Doubles:
    """(V, V): a pair's mean, and for the same pair the other way round that times `other_way`."""
    square = np.full((len(report.variants), len(report.variants)), np.nan)
    np.fill_diagonal(square, same)
    for (one, other), pair in zip(pairs_of(len(report.variants)), report.pairs, strict=True):
        mean = np.nan if figure(pair).mean is None else figure(pair).mean
        square[one, other], square[other, one] = mean, mean * other_way
    return square


def _write(axis: Any, square: Doubles, limits: tuple[float, float], *, both_ends_dark: bool) -> None:
    for (row, column), value in np.ndenumerate(square):
        if row == column or np.isnan(value):
            continue
        share = (value - limits[0]) / (limits[1] - limits[0] or 1.0)
        # Light on what is dark: the lower end of viridis, and both ends of RdBu.
        dark = not 0.15 < share < 0.85 if both_ends_dark else share < 0.5
        axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6, color="white" if dark else "black")
