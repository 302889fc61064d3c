"""A replay from beginning to end: what is left of it is shared out among processes, and every segment is written once."""

import os
import shutil
from collections.abc import Callable, Sequence
from multiprocessing import connection, get_context
from pathlib import Path
from queue import Empty
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from ranker.bundle import Bundle, read_manifest
from ranker.errors import ConfigError, CtrlrecError, DataError
from ranker.fusion import Method
from ranker.store import Store, is_bundle, served
from streams.replay.known import Known, gather
from streams.replay.log import Kind, Source
from streams.replay.onepass import Moved, Pass, Way, share
from streams.replay.parts import Format, write
from streams.replay.pins import Pins, no_version
from streams.replay.segments import LISTS, Layout
from streams.replay.sources import KAFKA, Log, open_source
from streams.replay.state import Serving, State
from streams.replay.totals import bad_lines
from streams.replay.variants import Variant, variants
from streams.settings import Settings

PLAN = "plan.json"
KNOWN, RANGE = "known.sqlite", "range.json"
LOOK = 0.1
"""Seconds between two looks at how far the processes are."""
MOST_VARIANTS = 64


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


class Range(Struct, frozen=True):
    """Of a log on Kafka: what was asked for, and what that was when the replay began."""

    asked: list[str]
    ends: tuple[tuple[Kind, int, int, int], ...]


class Outcome(NamedTuple):
    """Where the results of a replay lie."""

    plan: Plan
    layout: Layout
    segments: list[int]
    known: dict[str, int]
    """Clicks, recorded rankings, and what of them could not be used."""


Progress = Callable[[str, int, int, int], object]
"""Hears what is being done, how much of the source was read, of how much, and how many lists are done."""


def replay(job: Job, progress: Progress = lambda *_: None, *, restart: bool = False) -> Outcome:
    """Do it, or what is left of it. Raises CtrlrecError; what is done stays done, for the same job to go on."""
    layout = Layout(job.out, job.format)
    if restart:
        clear(layout)
    if job.log.name == KAFKA:
        job = job._replace(log=_fixed(job, layout))
    source = open_source(job.log, job.settings)
    plan = _planned(job, source)
    _begin(layout, plan)
    known = layout.segments / KNOWN
    gather(
        source, known, served=job.pin or job.check, advance=lambda read: progress("what served", read, source.total, 0)
    )
    if job.pin or job.check:
        _said(known, job.log)
    done = layout.done()
    before = len(done) * plan.segment

    def moved(read: int, lists: int) -> None:
        progress("replay", read, source.total, before + lists)

    alone = job.processes == 1
    seen = _rank(job, plan, 0, moved, source) if alone else _rank_side_by_side(job, plan, moved)
    kept = Known(known)
    counts = {"clicks": kept.clicks, "rankings": kept.rankings, **kept.skipped()}
    kept.close()
    segments = sorted(layout.done())
    # The last segment may hold no list, and then it may not be there.
    if segments[: -(-seen // plan.segment)] != list(range(-(-seen // plan.segment))):
        raise DataError(f"{layout.segments} lacks segments, although all of them were written")
    if job.strict:  # of what was done before without it
        for line in bad_lines(layout, segments):
            raise DataError(f"{line.place or f'line {line.line}'}: {line.reason}: {line.message}")
    return Outcome(plan, layout, segments, counts)


def _said(known: Path, log: Log) -> None:
    kept = Known(known)
    rankings = kept.rankings
    kept.close()
    if not rankings:
        raise DataError(f"{log.name} holds no rankings: --pin-bundle and --check need those that were served")


def clear(layout: Layout) -> None:
    """Remove what a replay has written, and nothing else."""
    shutil.rmtree(layout.out / "rankings", ignore_errors=True)
    shutil.rmtree(layout.segments, ignore_errors=True)


def _planned(job: Job, source: Source) -> Plan:
    versions = ["fleet"] if job.fleet else [_version(folder) for folder in job.bundles]
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


def _version(folder: Path) -> str:
    return read_manifest(served(folder)).version


def _fixed(job: Job, layout: Layout) -> Log:
    """The topics go on: where the log ends is settled once, when a replay begins."""
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
        from streams.replay.kafkarange import settle

        kept = Range(asked, settle(job.log, job.settings))
        write(file, msgspec.json.encode(kept))
    return job.log._replace(ends=kept.ends)


def _begin(layout: Layout, plan: Plan) -> None:
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


def _rank(job: Job, plan: Plan, process: int, moved: Moved, source: Source) -> int:
    """One process's share. Returns how many lists the log has."""
    layout = Layout(job.out, job.format)
    settings = job.settings
    if source.identity() != plan.log:
        raise DataError(f"the log {job.log.name} changed while its replay began: start again, with --restart")
    servings = [
        _serving(Bundle.load(served(folder), threads=settings.tower_threads), settings) for folder in job.bundles
    ]
    if not job.fleet and [serving.model.bundle for serving in servings] != plan.versions:
        raise DataError("another bundle became active while the replay began: start again, with --restart")
    state = State(servings, settings.max_event_bytes)
    known = Known(layout.segments / KNOWN)
    pins = Pins(known, state, lambda version: _opened(version, job)) if job.pin else None
    way = Way(plan.variants, layout, plan.eta, job.strict, job.check, plan.segment)
    fleet = None
    if job.fleet:
        from streams.replay.fleet import ENTRIES, LISTS, Fleet

        fleet = Fleet(settings, plan.variants[0].weight)
        way = way._replace(batch=LISTS, entries=ENTRIES)
    mine = share(process, job.processes, layout.done())
    one = Pass(way, state, mine, moved, known=known, pins=pins, fleet=fleet)
    try:
        one.run(source)
    finally:
        known.close()
        if fleet:
            fleet.close()
    return one.seen


def _serving(bundle: Any, settings: Settings) -> Serving:
    return Serving(bundle, bundle.model(settings.weight, settings.fusion))


def _opened(version: str, job: Job) -> Serving:
    for folder in job.bundles:
        if is_bundle(folder):
            if _version(folder) == version:
                return _serving(Bundle.load(folder, threads=job.settings.tower_threads), job.settings)
        elif Store(folder).folder_of(version).is_dir():
            return _serving(Store(folder).load(version, threads=job.settings.tower_threads), job.settings)
    raise no_version(version, ", ".join(map(str, job.bundles)))


def _rank_side_by_side(job: Job, plan: Plan, moved: Moved) -> int:
    context = get_context("spawn")
    state: Any = context.Array("q", 3 * job.processes, lock=False)
    errors = context.Queue()
    children = [
        context.Process(target=_child, args=(job, plan, number, state, errors), daemon=True)
        for number in range(job.processes)
    ]
    for child in children:
        child.start()
    try:
        while any(child.is_alive() for child in children):
            connection.wait([child.sentinel for child in children if child.is_alive()], LOOK)
            moved(sum(state[0::3]) // job.processes, sum(state[1::3]))
            if any(child.exitcode not in (None, 0) for child in children):
                break
        failed = [child for child in children if child.exitcode not in (None, 0)]
        if failed:
            try:
                raise errors.get(timeout=1)
            except Empty:
                raise DataError(
                    f"a process of the replay ended with {failed[0].exitcode}; the same command goes on where it was"
                ) from None
    finally:
        for child in children:
            child.terminate()
            child.join()
    return int(state[2])


def _child(job: Job, plan: Plan, number: int, state: Any, errors: Any) -> None:
    parent = os.getppid()

    def moved(read: int, lists: int) -> None:
        state[3 * number], state[3 * number + 1] = read, lists
        if os.getppid() != parent:  # it was killed, and cannot say so
            os._exit(1)

    try:
        state[3 * number + 2] = _rank(job, plan, number, moved, open_source(job.log, job.settings))
    except CtrlrecError as error:
        errors.put(error if type(error).__init__ is Exception.__init__ else DataError(str(error)))
        errors.close()
        errors.join_thread()
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
