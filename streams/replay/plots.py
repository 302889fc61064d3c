"""The report's pictures."""

from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import Any

from streams.replay.pairs import by_user
from streams.replay.pairsplot import draw_pairs
from streams.replay.report import Report, VariantReport
from streams.replay.totals import Estimate

PANELS = ("gain", "alignment change", "overlap", "rho", "click change")
TITLES = ("adherence gain", "alignment change", "top-10 overlap", "Spearman's ρ", "click change")


def draw(report: Report, folder: Path) -> list[str]:
    """Write the pictures beside the report; their names."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    try:
        variants = [variant for variant in report.variants if variant.figures["overlap"].mean is not None]
        if not variants:
            return []
        _figures(pyplot, variants, folder / "figures.png")
        names = ["figures.png"]
        if len(variants) > 1 and all(variant.figures["gain"].mean is not None for variant in variants):
            _trade(pyplot, variants, folder / "trade.png")
            names.append("trade.png")
        if not by_user(len(report.variants)):
            draw_pairs(pyplot, report, folder / "pairs.png")
            names.append("pairs.png")
        return names
    finally:
        pyplot.close("all")


def _figures(pyplot: Any, variants: Sequence[VariantReport], file: Path) -> None:
    """Each figure of each variant, with its interval."""
    panels = [
        (name, title)
        for name, title in zip(PANELS, TITLES, strict=True)
        if name in variants[0].figures and any(each.figures[name].mean is not None for each in variants)
    ]
    height = 1.2 + 0.3 * len(variants)
    figure, axes = pyplot.subplots(1, len(panels), figsize=(2.8 * len(panels) + 1, height), sharey=True, squeeze=False)
    for axis, (name, title) in zip(axes[0], panels, strict=True):
        for place, variant in enumerate(variants):
            mean, error = _with_error(variant.figures[name])
            axis.errorbar(mean, place, xerr=error, fmt="o", color="C0", capsize=3)  # nan, where there is none: no point
        axis.set_title(title, fontsize=9)
        axis.set_yticks(range(len(variants)), [variant.name for variant in variants])
        axis.tick_params(labelsize=8)
        axis.margins(y=0.3)
        axis.grid(axis="x", alpha=0.3)
    axes[0][0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(file, dpi=120)


def _trade(pyplot: Any, variants: Sequence[VariantReport], file: Path) -> None:
    """What adherence costs of the platform's own top."""
    figure, axis = pyplot.subplots(figsize=(5, 4))
    for variant in variants:
        overlap, sideways = _with_error(variant.figures["overlap"])
        gain, upwards = _with_error(variant.figures["gain"])
        axis.errorbar(overlap, gain, xerr=sideways, yerr=upwards, fmt="o", capsize=3)
        axis.annotate(variant.name, (overlap, gain), textcoords="offset points", xytext=(5, 5), fontsize=8)
    axis.margins(0.15)  # room for the names
    axis.set_xlabel("top-10 overlap with the platform's order")
    axis.set_ylabel("adherence gain")
    axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(file, dpi=120)


def _with_error(estimate: Estimate) -> tuple[float, float]:
    mean = nan if estimate.mean is None else estimate.mean
    return mean, 0.0 if estimate.high is None else estimate.high - mean
