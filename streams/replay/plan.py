"""What a replay is asked for, and what it must find unchanged to go on where it ended."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from ranker.bundle import read_manifest
from ranker.errors import ConfigError, DataError
from ranker.fusion import Method
from ranker.store import served
from streams.replay.log import Kind, Source
from streams.replay.parts import Format, write
from streams.replay.segments import LISTS, Layout
from streams.replay.sources import KAFKA, Log, open_source
from streams.replay.variants import Variant, variants
from streams.settings import Settings

PLAN, RANGE = "plan.json", "range.json"
MOST_VARIANTS = 64
FORM = 2
"""Of the files of segments: another version's may be of another."""


class Job(NamedTuple):
    """What is asked for."""

    log: Log
    out: Path
    settings: Settings
    bundles: Sequence[Path]
    """Bundles or stores; for a replay with pins, where to look for versions."""
    weights: Sequence[float] = ()
    fusions: Sequence[Method] = ("rank",)
    pin: bool = False
    check: bool = False
    format: Format = "parquet"
    eta: float = 1.0
    strict: bool = False
    processes: int = 1
    fleet: bool = False
    """Rank through Kafka; `bundles` is then empty."""
    segment: int = LISTS


class Plan(Struct, frozen=True):
    """What must be the same for another replay to go on where one ended."""

    log: list[str]
    variants: list[Variant]
    versions: list[str]
    weight: float
    """Of a request, where nobody names one."""
    fleet: bool
    pin: bool
    check: bool
    format: Format
    eta: float
    segment: int
    max_event_bytes: int
    form: int = FORM


class Range(Struct, frozen=True):
    """Of a log that goes on: what was asked for, and what that was when the replay began."""

    asked: list[str]
    ends: tuple[tuple[Kind, int, int, int], ...] = ()
    """Of Kafka."""
    files: tuple[str, ...] = ()
    """Of an archive."""


class Outcome(NamedTuple):
    """Where the results of a replay lie."""

    plan: Plan
    layout: Layout
    segments: list[int]
    known: dict[str, int]
    """Clicks, recorded rankings, and what of them could not be used."""
    log: str
    """As it was named, and what of it was asked for."""


def planned(job: Job, source: Source) -> Plan:
    """Raises ConfigError for what does not go together, and BundleError."""
    versions = ["fleet"] if job.fleet else [version_of(folder) for folder in job.bundles]
    if job.fleet and (
        job.bundles
        or len(job.weights) > 1
        or len(job.fusions) > 1
        or job.pin
        or job.processes > 1
        or job.format != "jsonl"
    ):
        raise ConfigError(
            "--through-kafka ranks with the fleet's own bundle and fusion, one weight at a time, into JSON Lines: leave out "
            "--bundle, --fusion, --pin-bundle and --processes, and give one --weight at most"
        )
    if len(set(versions)) < len(versions):
        raise ConfigError(f"the bundles {', '.join(versions)} are not all different")
    if job.pin and len(versions) > 1:
        raise ConfigError("with --pin-bundle, the log says which bundle each list is ranked with: name one store")
    made = variants(job.weights, job.fusions, versions)
    if len(made) > MOST_VARIANTS or len({variant.name for variant in made}) < len(made):
        raise ConfigError(f"{len(made)} variants: at most {MOST_VARIANTS}, and all different")
    return Plan(
        source.identity(), made, versions, job.settings.weight, job.fleet, job.pin, job.check, job.format, job.eta, job.segment,
        job.settings.max_event_bytes,
    )  # fmt: skip


def version_of(folder: Path) -> str:
    """Of a bundle, or of a store's active one."""
    return read_manifest(served(folder)).version


def fixed(job: Job, layout: Layout) -> Log:
    """Topics and archives go on: where the log ends is settled once, when a replay begins."""
    file, asked = layout.segments / RANGE, [*job.log.asked, *job.log.ranges]
    if file.exists():
        try:
            kept = msgspec.json.decode(file.read_bytes(), type=Range)
        except msgspec.DecodeError as error:
            raise DataError(f"{file} is damaged ({error}): add --restart to do it over") from error
        if kept.asked != asked:
            raise ConfigError(
                f"{layout.out} holds a replay of another range ({' '.join(kept.asked) or 'all there was'}): choose another "
                "--out, or add --restart to do it over"
            )
    else:
        if job.log.name == KAFKA:
            from streams.replay.kafkarange import settle

            kept = Range(asked, ends=settle(job.log, job.settings))
        else:
            _, *files = open_source(job.log, job.settings).identity()
            kept = Range(asked, files=tuple(files))
        write(file, msgspec.json.encode(kept))
    return job.log._replace(ends=kept.ends, files=kept.files)


def begin(layout: Layout, plan: Plan) -> None:
    """Note the plan, or see that it is the one that was noted. Raises ConfigError."""
    file = layout.segments / PLAN
    content = msgspec.json.encode(plan)
    if file.exists():
        if file.read_bytes() == content:
            return
        raise ConfigError(
            f"{layout.out} holds another replay, or one of a log or bundle that has changed since: choose another "
            "--out, or add --restart to do it over"
        )
    if (layout.out / "rankings").exists():
        raise ConfigError(f"{layout.out} holds rankings already: choose another --out, or add --restart to do it over")
    write(file, content)
