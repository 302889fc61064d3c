"""`ctrlrec replay` and `ctrlrec record`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from ranker.errors import ConfigError, DataError

if TYPE_CHECKING:
    from streams.replay.plan import Job, Outcome
    from streams.settings import Settings


def replay(
    log: Annotated[
        str,
        typer.Argument(
            metavar="LOG",
            help="JSON Lines (.gz and .zst too), a Parquet file, an archive of `ctrlrec record`, or `kafka`.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="A folder for rankings and report; or, for one variant, a file ending in .jsonl for the rankings alone."
        ),
    ],
    bundle: Annotated[
        str | None,
        typer.Option(metavar="PATH[,PATH]", help="Bundles or stores.", show_default="CTRLREC_BUNDLE or var/bundle"),
    ] = None,
    weight: Annotated[
        str | None, typer.Option(metavar="W[,W]", help="In place of every weight that the log names.")
    ] = None,
    fusion: Annotated[
        str | None,
        typer.Option(metavar="rank|mixed|score|rrf[,...]", help="How to fuse.", show_default="CTRLREC_FUSION or rank"),
    ] = None,
    pin_bundle: Annotated[
        bool,
        typer.Option("--pin-bundle", help="Each list by the bundle and request that its recorded ranking names."),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with the recorded rankings; exit status 1 if any differs.")
    ] = False,
    format_: Annotated[
        Literal["parquet", "jsonl"], typer.Option("--format", help="Of the rankings in a folder.")
    ] = "parquet",
    data: Annotated[Path | None, typer.Option(help="A data set with the items' titles, for the report.")] = None,
    eta: Annotated[
        float,
        typer.Option(help="How steeply attention falls with the place, for clicks: (place + 1)^-ETA; 0 to 10."),
    ] = 1.0,
    processes: Annotated[int, typer.Option(min=1, help="Share the work; the results are the same bytes.")] = 1,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first line that cannot be used.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Do over what OUT holds already.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Of kafka: only lists since 2026-01-31T12:00 (UTC), or since 30m, 2h, 7d ago."
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Of kafka: only lists before then.")] = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="T[P]@FIRST-LAST", help="Of kafka, as candidates[0]@17-99; may be repeated."),
    ] = None,
    publish: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Then send the rankings (of one variant) to this topic.")
    ] = None,
    speed: Annotated[
        float,
        typer.Option(
            help="Of --publish: 1 is real time (but for gaps of over an hour), 10 ten times that (0.01 to 10000), 0 as fast "
            "as it goes."
        ),
    ] = 0.0,
    through_kafka: Annotated[
        bool, typer.Option("--through-kafka", help="Have the workers of CTRLREC_TOPIC_PREFIX rank, not this machine.")
    ] = False,
) -> None:
    """What would this weight, this fusion, this bundle have done to these feeds? One pass over the log, all variants.

    Each list is ranked with the control and the items in force at its place in the log, through the code that serves:
    the same log, bundle and options give the same bytes. OUT gets the rankings, report.md, report.json and, where lines
    could not be used, bad-lines.jsonl. The same command goes on where it was interrupted.

    A line is {"topic": "requests" | "controls" | "candidates" | "items" | "rankings" | "clicks", "value": {...the event...}};
    an item is deleted by {"topic": "items", "key": "ITEM", "value": null}. docs/replay.md has all of it.

    Examples: ctrlrec replay archive --weight 0.2,0.5,0.8 --fusion rank,score --out what-if

    ctrlrec replay events.jsonl.zst --bundle var/bundles,var/bundle-new --out new-bundle --processes 4

    ctrlrec replay kafka --since 2h --pin-bundle --check --out as-served
    """
    from streams.replay.alone import alone
    from streams.replay.finish import join, write_report
    from streams.replay.job import replay
    from streams.replay.plan import Job
    from streams.replay.sources import Log
    from streams.replayoptions import bundles, fusions, moment, pace, said, steepness, weights
    from streams.replaytables import bars, print_report, print_single
    from streams.settings import Settings

    if through_kafka and fusion:
        raise ConfigError("--through-kafka ranks with the fleet's own fusion: leave out --fusion")
    settings, fast = Settings.from_environment(), pace(speed)
    single = out.suffix == ".jsonl"
    job = Job(
        log=Log(log, moment("--since", since), moment("--until", until), tuple(ranges or ()), said(since, until)),
        out=out.with_name(out.name + ".part") if single else out,
        settings=settings,
        bundles=[] if through_kafka and not bundle else bundles(bundle, settings),
        weights=weights(weight),
        fusions=fusions(settings.fusion if fusion is None else fusion),
        pin=pin_bundle,
        check=check,
        format="jsonl" if single or through_kafka else format_,
        eta=steepness(eta),
        strict=strict,
        processes=processes,
        fleet=through_kafka,
    )
    _check(job, single, publish, out)
    if publish:
        from streams.replay.publish import check_topic

        check_topic(settings, publish)
    titles = _titles(data)
    with alone(job.out, "ctrlrec replay"):
        with bars() as progress:
            outcome = replay(job, progress, restart=restart)
            if publish:
                _publish(outcome, settings, publish, fast, progress)
        same, different = compared(outcome)
        if single:
            print_single(outcome, out)
            join(outcome, out)
        else:
            print_report(write_report(outcome, titles), out)
    if check and not same + different:
        raise DataError(f"none of the rankings that {log} holds is of a list that was ranked: nothing was compared")
    if different:
        raise typer.Exit(1)


def record(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="The folder to write to.")],
    topic: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOPIC", help="Without the prefix; may be repeated.", show_default="all that replays read"
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End where the topics end now.")] = False,
    every: Annotated[
        float, typer.Option(min=0.1, help="Seconds after which what came is written, if it is little.")
    ] = 300.0,
    allow_gaps: Annotated[
        bool, typer.Option("--allow-gaps", help="Go on although records were deleted before they were recorded.")
    ] = False,
) -> None:
    """Archive live topics as Parquet, partitioned by hour, so that there is a log to replay. Until SIGTERM or Ctrl-C.

    Every record is kept as it is: topic, partition, offset, timestamp, key, value and headers. It goes on exactly where
    the files end, whatever ended it; run one for each archive.

    Example: ctrlrec record archive && ctrlrec replay archive --weight 0.8 --out what-if
    """
    import signal

    from streams.replay.record import DEFAULT, Recorder
    from streams.settings import Settings

    recorder = Recorder(Settings.from_environment(), archive, topic or DEFAULT, every=every, allow_gaps=allow_gaps)
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_, lambda *_: recorder.stop())
    written = recorder.run(once=once, tell=lambda told: typer.echo(told, err=True))
    typer.echo(f"{written:,} records written to {archive}")


def compared(outcome: "Outcome") -> tuple[int, int]:
    """How many rankings are as they were recorded, and how many are not."""
    from streams.replay.totals import read_figures

    checked = [read_figures(outcome.layout, segment).checked for segment in outcome.segments]
    return sum(same for same, _, _ in checked), sum(different for _, different, _ in checked)


def _check(job: "Job", single: bool, publish: str | None, out: Path) -> None:
    if job.log.since is not None and job.log.until is not None and job.log.since >= job.log.until:
        raise ConfigError(f"{' '.join(job.log.asked)}: ends before it begins")
    many = len(job.weights) > 1 or len(job.fusions) > 1 or len(job.bundles) > 1
    if single and many:
        raise ConfigError(f"{out} is a file for the rankings of one variant: name a folder for several")
    if publish and many:
        raise ConfigError("--publish sends the rankings of one variant: ask for one weight, fusion and bundle")
    if Path(job.log.name).exists() and out.exists() and out.samefile(job.log.name):
        raise ConfigError(f"{out} is the log itself")


def _publish(outcome: "Outcome", settings: "Settings", topic: str, speed: float, progress: object) -> None:
    from streams.replay.publish import publish
    from streams.replay.totals import read_figures

    total = sum(read_figures(outcome.layout, segment).ranked for segment in outcome.segments)
    moved = cast("object", lambda sent: progress("publish", sent, total, sent))  # type: ignore[operator]
    publish(outcome, settings, topic, speed=speed, moved=moved)  # type: ignore[arg-type]


def _titles(data: Path | None) -> dict[str, str]:
    if data is None:
        return {}
    from ranker.data import load_dataset

    return {
        item.item_id: f"{item.title} ({item.year})" if item.year else item.title
        for item in load_dataset(data).catalogue.items
    }
