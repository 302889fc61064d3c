"""How dead letters are shown. Nothing that a sender wrote reaches the terminal as it is."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from heapq import heappush, heappushpop
from time import monotonic
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from streams.letters import Letter
from streams.redrive import Plan

PATIENCE = 2.0
"""Seconds until something that goes on shows a bar."""
LONGEST_SHOWN = 20_000
"""Bytes of a payload that `show` prints."""


class Listing:
    """Counts of all letters added, and the newest of them one by one."""

    def __init__(self, limit: int, *, as_json: bool) -> None:
        self._limit, self._as_json = limit, as_json
        self._groups: dict[tuple[str, str], list[int]] = {}
        self._newest: list[tuple[int, int, int, Letter, bool]] = []
        self.waiting = 0

    def add(self, letter: Letter, *, sent_back: bool) -> None:
        self.waiting += not sent_back
        if self._as_json:
            typer.echo(json.dumps(facts(letter) | {"state": _state(sent_back)}))
            return
        time = letter.time
        group = self._groups.setdefault((letter.reason, letter.source.partition("[")[0]), [0, 0, time, time])
        group[0] += 1
        group[1] += not sent_back
        group[2:] = min(group[2], time), max(group[3], time)
        entry = (time, letter.partition, letter.offset, letter._replace(record=None), sent_back)
        if len(self._newest) < self._limit:
            heappush(self._newest, entry)
        elif self._limit:
            heappushpop(self._newest, entry)

    def print(self) -> None:
        if self._as_json:
            return
        console = Console()
        table = Table("class", "from", "letters", "waiting", "oldest", "newest")
        for (reason, topic), (count, waiting, oldest, newest) in sorted(self._groups.items()):
            table.add_row(_plain(reason), _plain(topic), f"{count:,}", f"{waiting:,}", _when(oldest), _when(newest))
        console.print(table if self._groups else "There are no such dead letters.")
        if self._newest:
            one_by_one = Table("letter", "when", "class", "from", "attempt", "state", "message")
            for *_, letter, sent_back in sorted(self._newest, key=lambda entry: entry[:3]):
                one_by_one.add_row(
                    letter.place, _when(letter.time), _plain(letter.reason), _plain(letter.source),
                    str(letter.attempt), _state(sent_back), _plain(letter.message),
                )  # fmt: skip
            console.print(one_by_one)


def facts(letter: Letter) -> dict[str, Any]:
    """All but key, payload and the sender's own headers, which may say who somebody is and what they wrote."""
    return {
        "letter": letter.place,
        "time": _when(letter.time),
        "class": letter.reason,
        "message": letter.message,
        "from": letter.source,
        "attempt": letter.attempt,
        "cut": letter.cut.split(),
        "bytes": letter.size,
    }


def print_letter(letter: Letter) -> None:
    console, record = Console(), letter.record
    table = Table("dead letter", letter.place, show_header=True)
    table.add_row("when", _when(letter.time))
    table.add_row("key", _plain(_text(record.key)))
    for name, value in record.headers:
        table.add_row(_plain(name), _plain(_text(value)))
    console.print(table)
    value = record.value
    if value is None:
        console.print("(no value)")
        return
    try:
        shown = json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        shown = value[:LONGEST_SHOWN].decode(errors="backslashreplace")
    console.print(_plain(shown[:LONGEST_SHOWN], keep="\n"), soft_wrap=True)
    if len(shown) > LONGEST_SHOWN or len(value) > LONGEST_SHOWN:
        console.print(f"(the first {LONGEST_SHOWN:,} of {len(value):,} bytes; --raw has all)")


def print_outcome(planned: Plan, sent: int, *, dry: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(
            json.dumps(
                {"dry_run": dry, "sent": 0 if dry else sent, "would_send": sent if dry else 0,
                 "dropped": len(planned.drop), "left": planned.left, "sent_before": planned.done}
            )
        )  # fmt: skip
        return
    table = Table("dead letters", "", show_header=False)
    table.add_row("would be sent back" if dry else "sent back", f"{sent:,}")
    if planned.drop:
        table.add_row("would be dropped: superseded" if dry else "dropped: superseded", f"{len(planned.drop):,}")
    for reason, count in sorted(planned.left.items()):
        table.add_row(f"left: {reason}", f"{count:,}")
    if planned.done:
        table.add_row("done before", f"{planned.done:,}")
    Console().print(table)
    if dry and (planned.send or planned.drop):
        typer.echo("Nothing was sent. --send does it.")


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """Gives what moves a bar; it is seen once two seconds have passed, and only on a terminal."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    task, began = bar.add_task(what, total=total), monotonic()

    def moved(done: int) -> None:
        bar.update(task, completed=done)
        if monotonic() - began > PATIENCE and not bar.live.is_started:
            bar.start()

    try:
        yield moved
    finally:
        bar.stop()


def _state(sent_back: bool) -> str:
    return "done" if sent_back else "waiting"


def _when(milliseconds: int) -> str:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(milliseconds)


def _text(value: bytes | None) -> str:
    return "(none)" if value is None else value.decode(errors="backslashreplace")


def _plain(text: str, keep: str = "") -> Text:
    """Without markup, and with every character that could move a cursor or turn text around spelt out."""
    return Text("".join(c if c in keep or c.isprintable() else c.encode("unicode_escape").decode() for c in text))
