"""What a replay leaves when all of its segments are there."""

import shutil
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

import msgspec

from ranker.durable import replacing
from ranker.errors import DataError
from streams.replay.log import BadLine
from streams.replay.markdown import markdown
from streams.replay.parts import write, writing
from streams.replay.plan import Outcome
from streams.replay.report import Report, report
from streams.replay.totals import bad_lines, read_totals
from streams.wire import encode

BAD = "bad-lines.jsonl"


def write_report(outcome: Outcome, titles: Mapping[str, str]) -> Report:
    """`report.json`, `report.md`, its pictures, and the bad lines, if there are any, beside the rankings."""
    from streams.replay.plots import draw

    layout = outcome.layout
    made = summed(outcome, titles)
    plots = draw(made, layout.out)
    write(layout.out / "report.json", msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
    write(layout.out / "report.md", markdown(made, plots).encode())
    _write_bad(layout.out / BAD, bad_lines(layout, outcome.segments))
    return made


def summed(outcome: Outcome, titles: Mapping[str, str]) -> Report:
    """The report alone."""
    return report(outcome, read_totals(outcome.layout, outcome.segments, outcome.plan.variants), titles)


def join(outcome: Outcome, file: Path) -> None:
    """Make one file of all parts of the only variant, and remove the parts: `file`, and with `.bad` added the bad lines."""
    layout, (variant,) = outcome.layout, outcome.plan.variants
    try:
        with replacing(file, suffix=".joined") as target:
            for segment in outcome.segments:
                with layout.part(variant, segment).open("rb") as part:
                    shutil.copyfileobj(part, target, 1 << 20)
            _write_bad(file.with_name(file.name + ".bad"), bad_lines(layout, outcome.segments))
    except OSError as error:
        raise DataError(f"{error.filename or file}: {error.strerror}") from error
    # In one step: a folder without its parts would not do for another go.
    old = layout.out.with_name(layout.out.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    layout.out.rename(old)
    shutil.rmtree(old)


def _write_bad(file: Path, lines: Iterator[BadLine]) -> None:
    first = next(lines, None)
    if first is None:
        file.unlink(missing_ok=True)
        return
    with writing(file) as opened:
        for line in chain([first], lines):
            opened.write(encode(line) + b"\n")
