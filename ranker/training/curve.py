"""The learning curve: what training.json keeps of it, and its picture."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

PICTURE = "learning-curve.png"
MOST = 120
"""Points kept of a phase. From then on two neighbours become one, so that the curve of an hour is no longer than a minute's."""
COLOURS = {"item tower": "#6b6b6b", "request head": "#0b6e99", "request tower": "#0f7b6c"}
AUC_COLOUR = "#d9730d"


class Point(msgspec.Struct):
    """Some steps of one phase, up to `step` and `seconds` into it."""

    step: int
    seconds: float
    loss: float
    """The mean over these steps."""
    dev_auc: float | None = None
    """On dev phrasings, where it was measured: the last of these steps' measurements."""


class Curve:
    """The curve of one phase, as it grows."""

    def __init__(self, points: Sequence[Point] = (), stride: int = 1) -> None:
        self.points = list(points)
        self.stride = stride
        """In steps. The last point may hold fewer."""

    def add(self, step: int, seconds: float, loss: float, dev_auc: float | None = None) -> None:
        """One step more, the first one being 1."""
        if self.points and self.points[-1].step % self.stride:
            last = self.points[-1]
            held = (last.step - 1) % self.stride + 1
            self.points[-1] = _merged(last, held, Point(step, seconds, loss, dev_auc), 1)
        elif len(self.points) < MOST:
            self.points.append(Point(step, seconds, loss, dev_auc))
        else:
            pairs = zip(self.points[::2], self.points[1::2], strict=True)
            self.points = [_merged(first, 1, second, 1) for first, second in pairs]
            self.stride *= 2
            self.points.append(Point(step, seconds, loss, dev_auc))

    def rounded(self) -> list[Point]:
        """The points as a record shows them."""
        return [
            Point(
                point.step,
                round(point.seconds, 2),
                round(point.loss, 5),
                None if point.dev_auc is None else round(point.dev_auc, 5),
            )
            for point in self.points
        ]


def _merged(first: Point, steps: int, second: Point, more: int) -> Point:
    """Two neighbours as one, by how many steps each holds."""
    loss = (first.loss * steps + second.loss * more) / (steps + more)
    return Point(second.step, second.seconds, loss, first.dev_auc if second.dev_auc is None else second.dev_auc)


def draw(path: Path, phases: dict[str, list[Point]]) -> None:
    """One panel a phase: the loss over the seconds, and where it was measured the dev AUC. Raises ImportError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(phases), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (phase, points) in enumerate(phases.items()):
        axes = figure.add_subplot(1, len(phases), place + 1)
        seconds = [point.seconds for point in points]
        axes.plot(seconds, [point.loss for point in points], color=COLOURS.get(phase), label="loss (training)")
        axes.set_title(f"{phase}: {points[-1].step:,} steps" if points else phase, loc="left", fontweight="bold")
        axes.set_xlabel("seconds")
        axes.set_ylabel("loss")
        axes.set_ylim(bottom=0)
        axes.spines[["top"]].set_visible(False)
        axes.grid(alpha=0.25)
        measured = [point for point in points if point.dev_auc is not None]
        if measured:
            right = axes.twinx()
            right.plot(
                [point.seconds for point in measured],
                [point.dev_auc or 0.0 for point in measured],
                color=AUC_COLOUR,
                marker="o",
                markersize=3,
            )
            right.set_ylabel("mean AUC on dev phrasings", color=AUC_COLOUR)
            right.tick_params(axis="y", colors=AUC_COLOUR)
            right.spines[["top"]].set_visible(False)
    figure.savefig(path, dpi=120)
