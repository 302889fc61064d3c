"""A replay from beginning to end: what is left of it is shared out among processes, and every segment is written once."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ranker.bundle import Bundle
from ranker.errors import ConfigError, DataError
from ranker.store import Store, is_bundle, served
from streams.replay.known import KNOWN, Known, gather
from streams.replay.log import Source
from streams.replay.onepass import Moved, Pass, Way, share
from streams.replay.pins import Pins, no_version
from streams.replay.plan import PLAN, RANGE, Job, Outcome, Plan, begin, fixed, planned, version_of
from streams.replay.segments import Layout
from streams.replay.sidebyside import side_by_side
from streams.replay.sources import KAFKA, Log, open_source
from streams.replay.state import Serving, State
from streams.replay.totals import bad_lines
from streams.settings import Settings

Progress = Callable[[str, int, int, int], object]
"""Hears what is being done, how much of the source was read, of how much, and how many lists are done."""


def replay(job: Job, progress: Progress = lambda *_: None, *, restart: bool = False) -> Outcome:
    """Do it, or what is left of it. Raises CtrlrecError; what is done stays done, for the same job to go on."""
    layout = Layout(job.out, job.format)
    if restart:
        clear(layout)
    if job.log.name == KAFKA or Path(job.log.name).is_dir():
        job = job._replace(log=fixed(job, layout))
    source = open_source(job.log, job.settings)
    plan = planned(job, source)
    begin(layout, plan)
    known = layout.segments / KNOWN
    gather(
        source, known, served=job.pin or job.check, advance=lambda read: progress("what served", read, source.total, 0)
    )
    if job.strict:
        _none_bad(layout, [])  # of clicks and rankings: before anything is ranked
    if job.pin or job.check:
        _said(known, job.log)
    done = layout.done()
    before = len(done) * plan.segment

    def moved(read: int, lists: int) -> None:
        progress("replay", read, source.total, before + lists)

    alone = job.processes == 1
    seen = _rank(job, plan, 0, moved, source) if alone else side_by_side(_rank, job, plan, moved)
    kept = Known(known)
    counts = {"clicks": kept.clicks, "rankings": kept.rankings, **kept.skipped()}
    kept.close()
    segments = sorted(layout.done())
    # The last segment may hold no list, and then it may not be there.
    if segments[: -(-seen // plan.segment)] != list(range(-(-seen // plan.segment))):
        raise DataError(f"{layout.segments} lacks segments, although all of them were written")
    if job.strict:  # of what was done before without it
        _none_bad(layout, segments)
    return Outcome(plan, layout, segments, counts, " ".join([job.log.name, *job.log.asked, *job.log.ranges]))


def _none_bad(layout: Layout, segments: Sequence[int]) -> None:
    for line in bad_lines(layout, segments):
        raise DataError(f"{line.place or f'line {line.line}'}: {line.reason}: {line.message}")


def _said(known: Path, log: Log) -> None:
    kept = Known(known)
    rankings = kept.rankings
    kept.close()
    if not rankings:
        raise DataError(f"{log.name} holds no rankings: --pin-bundle and --check need those that were served")


def clear(layout: Layout) -> None:
    """Remove what a replay has written, and nothing else. Raises ConfigError where it could be somebody else's."""
    noted = any((layout.segments / name).exists() for name in (PLAN, RANGE))
    if not noted and any((layout.out / name).exists() for name in ("rankings", layout.segments.name)):
        raise ConfigError(
            f"{layout.out} holds rankings or segments, but no {PLAN} of a replay: delete them yourself, or choose another --out"
        )
    shutil.rmtree(layout.out / "rankings", ignore_errors=True)
    shutil.rmtree(layout.segments, ignore_errors=True)


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
            if version_of(folder) == version:
                return _serving(Bundle.load(folder, threads=job.settings.tower_threads), job.settings)
        elif Store(folder).folder_of(version).is_dir():
            return _serving(Store(folder).load(version, threads=job.settings.tower_threads), job.settings)
    raise no_version(version, ", ".join(map(str, job.bundles)))
