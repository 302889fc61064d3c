"""How a replay shows what it does, and what came of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

if TYPE_CHECKING:
    from streams.replay.plan import Outcome
    from streams.replay.report import Report
    from streams.replay.totals import Estimate


MOST_COLUMNS = 3
"""Variants side by side on a terminal of 80 columns."""
SHORT = {
    "gain": "adherence gain",
    "alignment change": "alignment change",
    "overlap": "top-10 overlap",
    "rho": "rank correlation",
    "click change": "change of clicks",
}


@contextmanager
def bars() -> Iterator[Callable[[str, int, int, int], None]]:
    """A bar for each thing that is done: how much of the log, lists a second, time left."""
    from time import monotonic

    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, tuple[object, float, int]] = {}

        def moved(what: str, done: int, total: int, lists: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total, rate=""), monotonic(), lists
            task, began, before = tasks[what]
            seconds = monotonic() - began
            rate = f"{(lists - before) / seconds:,.0f} lists/s" if lists > before and seconds > 1 else ""
            progress.update(task, completed=done, total=total, rate=rate)  # type: ignore[arg-type]

        yield moved


def _by_figure(report: "Report") -> Table:
    """All figures of a few variants."""
    from streams.replay.tables import HEADINGS

    table = Table("replay", *(variant.name for variant in report.variants))
    for name in report.variants[0].figures:
        table.add_row(HEADINGS[name], *(_short(variant.figures[name], name) for variant in report.variants))
    for why in sorted({why for variant in report.variants for why in variant.degraded}):
        table.add_row(f"degraded: {why}", *(f"{variant.degraded.get(why, 0):,}" for variant in report.variants))
    return table


def _by_variant(report: "Report") -> Table:
    """Those that tell most, of many variants: they have no room side by side."""
    names = [name for name in SHORT if name in report.variants[0].figures]
    headings = [Column(heading, overflow="fold") for heading in ("replay", *(SHORT[name] for name in names))]
    table = Table(*headings, box=SIMPLE, padding=(0, 0, 0, 1))
    for variant in report.variants:
        table.add_row(variant.name, *(_short(variant.figures[name], name).replace(" ", "") for name in names))
    return table


def print_report(report: "Report", out: Path) -> None:
    """The figures of all variants, and where the rest is."""
    console = Console()
    console.print(_by_figure(report) if len(report.variants) <= MOST_COLUMNS else _by_variant(report))
    console.print(f"{report.ranked:,} of {report.lists:,} lists of {report.users:,} users ranked; {out / 'report.md'}")
    for reason, count in sorted(report.bad.items()):
        console.print(f"lines skipped: {reason}: {count:,}, in {out / 'bad-lines.jsonl'}")
    if checked := report.checked:
        console.print(
            f"as recorded: {checked.same:,}; different: {checked.different:,}; not recorded: {checked.not_recorded:,}"
        )


def print_single(outcome: "Outcome", out: Path) -> None:
    """The figures of the only variant, without a report."""
    from streams.replay.totals import read_totals

    totals = read_totals(outcome.layout, outcome.segments, outcome.plan.variants)
    gain = totals.estimate(0, "gain")
    table = Table("replay", "", show_header=False)
    table.add_row("bundle", "as recorded" if outcome.plan.pin else outcome.plan.versions[0])
    table.add_row("requests, items", f"{totals.events.get('requests', 0):,}, {totals.events.get('items', 0):,}")
    table.add_row("rankings", f"{totals.ranked:,} in {out}")
    for reason, count in sorted(totals.degraded[0].items()):
        table.add_row(f"  degraded: {reason}", f"{count:,}")
    for reason, count in sorted(totals.bad.items()):
        table.add_row(f"lines skipped: {reason}", f"{count:,} in {out}.bad")
    if outcome.plan.check:
        same, different, missing = totals.checked
        table.add_row("as recorded", f"{same:,}; different: {different:,}; not recorded: {missing:,}")
    if gain.mean is None:
        table.add_row("mean adherence gain", "no list was controlled and left headroom")
    else:
        table.add_row(
            "mean adherence gain", f"{_short(gain, 'gain')} ({gain.observations:,} lists, {gain.users:,} users)"
        )
    Console().print(table)


def _short(estimate: "Estimate", name: str) -> str:
    """With a sign where it is a change."""
    if estimate.mean is None:
        return "–"
    sign = "+" if "change" in name else ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean:{sign}.3f}"
    return f"{estimate.mean:{sign}.3f} ± {(estimate.high - estimate.low) / 2:.3f}"
