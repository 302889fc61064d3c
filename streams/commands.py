"""The commands of this part. Each is thin, and imports what it needs when it is called, so that `--help` is quick."""

from pathlib import Path
from typing import Annotated

import typer

from streams.bundles import app as bundles
from streams.lettercommands import app as dead_letters
from streams.lettercommands import redrive
from streams.replaycommands import record, replay
from streams.statuscommand import status

app = typer.Typer()
app.add_typer(bundles, name="bundle")
app.add_typer(dead_letters, name="dead-letters")  # and its `redrive` by itself, below

DataDir = Annotated[Path, typer.Option(help="The data set whose users ask, as `ctrlrec data` left it.")]


@app.command()
def broker(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 9092,
) -> None:
    """Run the embedded broker until Ctrl-C: in memory, on this machine only, for demonstrations and tests."""
    import signal

    from streams.broker import EmbeddedBroker

    # A supervisor's SIGTERM ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with EmbeddedBroker(port=port) as running:
            typer.echo(f"Kafka protocol on {running.bootstrap} (in memory; Ctrl-C stops it and forgets everything)")
            typer.echo(f"  export CTRLREC_KAFKA_BOOTSTRAP={running.bootstrap}")
            typer.echo("  ctrlrec topics && ctrlrec worker")
            status = running.wait()
    except KeyboardInterrupt:
        return
    typer.secho(f"ctrlrec: the broker ended by itself with status {status}", fg=typer.colors.RED, err=True)
    raise typer.Exit(1)


@app.command()
def topics() -> None:
    """Create the topics that are missing, and show all of them. A second call changes nothing.

    Their names begin with CTRLREC_TOPIC_PREFIX; CTRLREC_PARTITIONS and CTRLREC_REPLICATION apply to new ones.
    """
    from rich.console import Console
    from rich.table import Table

    from streams.settings import Settings
    from streams.topics import ensure_topics

    table = Table("topic", "partitions", "clean-up", "state")
    for topic in ensure_topics(Settings.from_environment()):
        table.add_row(topic.name, str(topic.partitions), topic.cleanup, "created" if topic.created else "was there")
    Console().print(table)


@app.command()
def worker(
    processes: Annotated[
        int, typer.Option(min=1, max=256, help="Workers on this machine; one that ends is started again.")
    ] = 1,
) -> None:
    """Serve: embed requests, index items, rank candidate lists, until SIGTERM or Ctrl-C.

    Settings come from the environment (CTRLREC_KAFKA_BOOTSTRAP, CTRLREC_BUNDLE, CTRLREC_WEIGHT, ...; a wrong one is named).
    Topics must exist: `ctrlrec topics` makes them. Start as many workers as there are partitions, at most, here or on
    other machines. With --processes, that of number n has its metrics on port CTRLREC_MONITORING_PORT + n.

    Exit status: 0 stopped, 2 refused to start (the message says why), 70 gave up for a supervisor to start it again.

    Example: ctrlrec worker --processes 4
    """
    from streams.signals import end_at_once_when_told

    end_at_once_when_told()

    import logging

    from streams.discreet import Discreet
    from streams.seldom import Seldom
    from streams.settings import Settings

    logging.basicConfig(level=logging.INFO)
    for chatty in ("faust", "mode", "aiokafka"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(Discreet("%(asctime)s [%(process)d] %(levelname)s %(name)s %(message)s"))
        handler.addFilter(Seldom("aiokafka"))
    settings = Settings.from_environment()
    if processes > 1:
        from streams.processes import run_processes

        raise typer.Exit(run_processes(settings, processes))

    from streams.worker import run_worker

    run_worker(settings)


@app.command()
def demo(
    data: DataDir = Path("var/data"),
    stay: Annotated[bool, typer.Option("--stay", help="Serve on until Ctrl-C, for `ctrlrec ask`.")] = False,
) -> None:
    """Watch MovieLens users steer their feeds: an embedded broker, a worker, and rankings that come back through Kafka.

    Needs a bundle in CTRLREC_BUNDLE or var/bundle, made by `ctrlrec data`, `ctrlrec train` and `ctrlrec export`.
    """
    from rich.console import Console

    from streams.demo import run_demo
    from streams.settings import Settings

    run_demo(Settings.from_environment(), data, Console(), stay=stay)


@app.command()
def ask(
    text: Annotated[str, typer.Argument(help="The request, in your own words.")],
    user: Annotated[str, typer.Option(help="A user of the data set.")],
    weight: Annotated[
        float, typer.Option(min=0, max=1, help="How much the request counts: 0 nothing, 1 alone.")
    ] = 0.75,
    data: DataDir = Path("var/data"),
) -> None:
    """Ask for something as a user of the demo, and see the feed before and after. Needs `make up` in another terminal.

    Example: ctrlrec ask --user 42 "old black and white comedies, nothing sad"
    """
    from rich.console import Console

    from streams.ask import ask_as
    from streams.settings import Settings

    Console().print(ask_as(Settings.from_environment(), user, text, weight, data))


app.command()(redrive)
app.command()(replay)
app.command()(record)
app.command()(status)
