"""`ctrlrec dead-letters`: look at what could not be processed, and send it back when the cause is mended."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ranker.errors import BadEvent, ConfigError
from streams.topics import SOURCES

if TYPE_CHECKING:
    from streams.letters import Wanted
    from streams.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Look at the dead letters, and send them back.")

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Reasons = Annotated[
    list[str] | None,
    typer.Option("--class", metavar="|".join(BadEvent.REASONS), help="Only of this class; may be repeated."),
]
Topics = Annotated[
    list[str] | None,
    typer.Option("--topic", metavar="|".join(SOURCES), help="Only what came from there; may be repeated."),
]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="From then on: 2026-01-31T12:00 (UTC), or 30m, 2h, 7d ago.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Only before then.")]
Offsets = Annotated[
    str | None, typer.Option(metavar="P@FIRST-LAST", help="Only of this partition, as in 0@17, 0@17-99 or 0@17-.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON Lines in place of tables.")]


@app.command("list")
def list_letters(
    reasons: Reasons = None,
    topics: Topics = None,
    since: Since = None,
    until: Until = None,
    offsets: Offsets = None,
    limit: Annotated[int, typer.Option(min=0, help="So many are shown one by one, the newest; --json shows all.")] = 20,
    check: Annotated[bool, typer.Option("--check", help="Exit status 1 if any of them waits.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what lies on the dead letters: how many of which class from where, and the newest one by one.

    Example: ctrlrec dead-letters list --class schema --since 2h
    """
    from streams.letters import letters
    from streams.lettertables import Listing
    from streams.receipts import Receipts

    settings = _settings()
    done = Receipts.of(settings)
    listing = Listing(limit, as_json=as_json)
    for letter in letters(settings, _wanted(reasons, topics, since, until, offsets)):
        listing.add(letter, sent_back=letter in done)
    listing.print()
    if check and listing.waiting:
        raise typer.Exit(1)


@app.command()
def show(
    place: Annotated[str, typer.Argument(metavar="P@OFFSET", help="Which, as `list` names it: 0@17.")],
    raw: Annotated[bool, typer.Option("--raw", help="Only the original's bytes, for another program.")] = False,
) -> None:
    """Show one dead letter with its headers and its payload, which may hold what a reader wrote.

    Exit status 1 if it is not there.

    Example: ctrlrec dead-letters show 0@17 --raw | jq .
    """
    import sys

    from streams.letters import letters
    from streams.lettertables import print_letter

    wanted = _wanted(offsets=place)
    if wanted.last is None or wanted.first != wanted.last:
        raise ConfigError(f"{place!r} is no place of one letter, such as 0@17")
    letter = next(letters(_settings(), wanted), None)
    if letter is None:
        typer.secho(f"ctrlrec: there is no dead letter at {place}", fg=typer.colors.RED, err=True)
        raise typer.Exit(1)
    if raw:
        sys.stdout.buffer.write(letter.record.value or b"")
    else:
        print_letter(letter)


@app.command()
def redrive(
    reasons: Reasons = None,
    topics: Topics = None,
    since: Since = None,
    until: Until = None,
    offsets: Offsets = None,
    send: Annotated[bool, typer.Option("--send", help="Do it; without this, only say what would be done.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, the oldest.")] = None,
    rate: Annotated[float, typer.Option(min=0.1, help="At most so many a second.")] = 100.0,
    cap: Annotated[int, typer.Option(min=1, help="What was sent back so often already is left.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON in place of the table.")] = False,
) -> None:
    """Send dead letters back to the topics they came from: same partition, key, value and headers.

    What was sent back is remembered in feed.redriven and not sent again, so this may be interrupted and repeated; run
    one at a time. Left are letters that were sent back too often and those too large to have been kept whole. Dropped
    for good are requests older than their user's latest, and items published again since.

    Exit status 1 if any was left.

    Example: ctrlrec dead-letters redrive --class deadline --since 2h --send
    """
    from streams.lettertables import print_outcome, progress
    from streams.redrive import plan
    from streams.redrive import redrive as send_back

    settings, wanted = _settings(), _wanted(reasons, topics, since, until, offsets)
    planned = plan(settings, wanted, cap=cap, limit=limit)
    sent = len(planned.send)
    if send and (planned.send or planned.drop):
        with progress("redrive", len(planned.send)) as moved:
            sent = send_back(settings, planned, rate=rate, progress=moved)
    print_outcome(planned, sent, dry=not send, as_json=as_json)
    if planned.left:
        raise typer.Exit(1)


def _settings() -> "Settings":
    from streams.kafka import check_reachable
    from streams.settings import Settings

    settings = Settings.from_environment()
    check_reachable(settings)
    return settings


def _wanted(
    reasons: list[str] | None = None,
    topics: list[str] | None = None,
    since: str | None = None,
    until: str | None = None,
    offsets: str | None = None,
) -> "Wanted":
    from streams.letters import Wanted

    for option, given, known in (("--class", reasons, BadEvent.REASONS), ("--topic", topics, SOURCES)):
        if wrong := set(given or ()) - set(known):
            raise ConfigError(f"{option}: {min(wrong)!r} is none of {', '.join(known)}")
    partition, first, last = _range(offsets) if offsets else (None, None, None)
    return Wanted(
        reasons=reasons or (), topics=topics or (), partition=partition, first=first, last=last,
        since=_milliseconds("--since", since), until=_milliseconds("--until", until),
    )  # fmt: skip


def _range(text: str) -> tuple[int, int, int | None]:
    """P@FIRST, P@FIRST-LAST or P@FIRST-. Raises ConfigError."""
    partition, _, offsets = text.partition("@")
    first, dash, last = offsets.partition("-")
    if not (partition.isdecimal() and first.isdecimal() and (last.isdecimal() or not last)):
        raise ConfigError(f"{text!r} is no place such as 0@17, 0@17-99 or 0@17-")
    return int(partition), int(first), int(last) if last else None if dash else int(first)


def _milliseconds(option: str, text: str | None) -> int | None:
    """Of a time, or of so long ago. Raises ConfigError."""
    if text is None:
        return None
    try:
        if text[-1:] in UNITS:
            moment = datetime.now(UTC) - timedelta(**{UNITS[text[-1]]: float(text[:-1])})
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{option}: {text!r} is no time such as 2026-01-31T12:00, 30m, 2h or 7d") from error
    return round(moment.timestamp() * 1000)
