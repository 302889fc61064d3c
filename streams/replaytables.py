"""How a replay shows what it does, and what came of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from streams.replay.plan import Outcome
    from streams.replay.report import Report
    from streams.replay.totals import Estimate


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


def print_report(report: "Report", out: Path) -> None:
    """The figures of all variants, and where the rest is."""
    from streams.replay.tables import HEADINGS

    table = Table("replay", *(variant.name for variant in report.variants))
    for name in report.variants[0].figures:
        table.add_row(HEADINGS[name], *(_short(variant.figures[name]) for variant in report.variants))
    for why in sorted({why for variant in report.variants for why in variant.degraded}):
        table.add_row(f"degraded: {why}", *(f"{variant.degraded.get(why, 0):,}" for variant in report.variants))
    console = Console()
    console.print(table)
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
        table.add_row("mean adherence gain", f"{_short(gain)} ({gain.observations:,} lists, {gain.users:,} users)")
    Console().print(table)


def _short(estimate: "Estimate") -> str:
    if estimate.mean is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean:+.3f}"
    return f"{estimate.mean:+.3f} ± {(estimate.high - estimate.low) / 2:.3f}"
