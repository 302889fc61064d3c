"""`ctrlrec status`."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from streams.status import Figure

COLOURS = {"well": "green", "wrong": "bold red", "unknown": "dim"}


def status(
    workers: Annotated[
        list[str] | None,
        typer.Argument(metavar="[URL]...", help="Workers' monitoring addresses; without any, this machine's worker."),
    ] = None,
    prometheus: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Ask Prometheus in place of the workers: longer windows, and alerts."),
    ] = None,
    job: Annotated[str, typer.Option(help="With --prometheus: a regular expression of scrape jobs.")] = "ctrlrec.*",
    once: Annotated[bool, typer.Option("--once", help="Print one overview and end, for scripts.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
) -> None:
    """The overview in a terminal, for those who have no Grafana at hand; live until Ctrl-C, or --once.

    Rates are of the time between two looks (so --once takes one interval), samples count from the workers' start; with
    --prometheus, windows are those of the alerts. Exit status 0 if all is well, 1 if something is wrong, be
    it only worth a ticket (Alertmanager pages), 2 if it could not be asked.

    \b
    Examples:
      ctrlrec status
      ctrlrec status http://10.0.0.5:9108 http://10.0.0.6:9108
      ctrlrec status --prometheus http://prometheus:9090 --once || open-a-ticket
    """
    from rich.console import Console
    from rich.live import Live

    from ranker.plaintext import warn_of_plaintext

    warn_of_plaintext("figures", [prometheus] if prometheus else workers or [])
    looks = _recorded(prometheus, job, interval) if prometheus else _said(workers or [_own_address()], interval)
    if once:
        found = next(looks)
        Console().print(_table(found))
    else:
        found = []
        try:
            with Live(console=Console(), auto_refresh=False) as live:
                for found in looks:
                    live.update(_table(found), refresh=True)
        except KeyboardInterrupt:
            pass
    if any(figure.verdict == "wrong" for figure in found):
        raise typer.Exit(1)


def _own_address() -> str:
    from streams.settings import Settings

    settings = Settings.from_environment()
    return f"http://{settings.monitoring_host}:{settings.monitoring_port}"


def _said(urls: list[str], interval: float) -> "Iterator[list[Figure]]":
    from streams.status import figures, read_workers

    before = read_workers(urls)
    while True:
        time.sleep(interval)
        now = read_workers(urls)
        yield figures(before, now)
        before = now


def _recorded(url: str, job: str, interval: float) -> "Iterator[list[Figure]]":
    from streams.statusrecorded import Prometheus

    ask: Callable[[], list[Figure]] = Prometheus(url, job).figures
    while True:
        yield ask()
        time.sleep(interval)


def _table(found: "list[Figure]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table("", "now", "promised", "")
    for figure in found:
        colour = COLOURS[figure.verdict]
        # Text, not markup: a label may hold brackets.
        table.add_row(Text(figure.name), Text(figure.value), Text(figure.promise), Text(figure.verdict, colour))
    return table
