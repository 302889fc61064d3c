"""python -m tests.bench.replayscale [speed] [identity] [--lists N] [--log ARCHIVE]: `ctrlrec replay` of a log of any size.

The log is made of MovieLens (`tests.bench.replaylog`), of 100 items a list. `speed` times whole commands, from their start
to their report, on one core: one weight, and three. `identity` looks whether two processes, and a replay that is killed with
SIGKILL and goes on, leave the bytes that one process leaves. Ends with 1 where a bound is missed or bytes differ.
"""

import argparse
import filecmp
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.cores import Cores
from tests.bench.figures import Bound, Figure
from tests.bench.replaylog import write_log

CTRLREC = Path(sys.executable).with_name("ctrlrec")
WEIGHTS = "0.5", "0.5,0.2,0.8"
PARTS = "speed", "identity"
SHARE = 0.4
"""Of the segments, how many are there when a replay is killed, twice: at this share, and at twice that."""
SEGMENT = 16_384


class Spent(NamedTuple):
    """What one command took."""

    seconds: float
    core_seconds: float
    """Of user's and system's time: what a core that is shared with nobody would take."""
    mebibytes: float


def speed(log: Path, folder: Path, bundle: Path, lists: int) -> Iterator[Figure]:
    """One weight and three, as whole commands on one core."""
    core = Cores.here().wrap
    one, three = (_ended(_start(log, folder / f"w{weights}", bundle, weights, core)) for weights in WEIGHTS)
    further = (three.core_seconds - one.core_seconds) / 2
    at_least = Bound("value", "at least", 10_000)
    yield Figure("replay.lists", lists / one.core_seconds, "lists/s of one core's time", bounds=(at_least,))
    yield Figure(
        "replay.lists.by-the-clock", lists / one.seconds, "lists/s", one.seconds / one.core_seconds, "a core's time"
    )
    bound = Bound("ratio", "at most", 0.25)
    yield Figure(
        "replay.further-weight", further / lists * 1e6, "µs/list", further / one.core_seconds, "the first", (bound,)
    )
    most = Bound("value", "at most", 1536)
    yield Figure("replay.memory", max(one.mebibytes, three.mebibytes), "MiB", bounds=(most,))


def identity(log: Path, folder: Path, bundle: Path, lists: int) -> Iterator[Figure]:
    """How many files are unlike those of one process."""
    one, two, killed = (folder / name for name in (f"w{WEIGHTS[0]}", "two", "killed"))
    if not (one / "report.json").exists():
        _ended(_start(log, one, bundle, WEIGHTS[0]))
    _ended(_start(log, two, bundle, WEIGHTS[0], more=("--processes", "2")))
    for share in (SHARE, 2 * SHARE):
        _kill_at(_start(log, killed, bundle, WEIGHTS[0]), killed / "segments", int(lists / SEGMENT * share))
    _ended(_start(log, killed, bundle, WEIGHTS[0]))
    none = (Bound("value", "at most", 0),)
    for name, other in (("replay.unlike.two-processes", two), ("replay.unlike.killed-twice", killed)):
        unlike = unlike_files(one, other)
        print(*(f"unlike: {file}" for file in unlike), sep="\n", end="\n" * bool(unlike))
        yield Figure(name, len(unlike), "files", bounds=none)


def unlike_files(one: Path, other: Path) -> list[str]:
    """Of what a replay leaves, but for notes of its own: what is not there twice with the same bytes."""
    names = {
        str(file.relative_to(folder))
        for folder in (one, other)
        for file in folder.rglob("*")
        if file.is_file() and file.suffix not in (".sqlite", ".png")
    }
    pairs = ((name, one / name, other / name) for name in sorted(names))
    return [name for name, a, b in pairs if not (a.exists() and b.exists() and filecmp.cmp(a, b, shallow=False))]


def _start(
    log: Path, out: Path, bundle: Path, weights: str, wrap: Sequence[str] = (), more: Sequence[str] = ()
) -> tuple[float, subprocess.Popen[bytes]]:
    given = (log, "--out", out, "--bundle", bundle, "--weight", weights)
    command = [*wrap, str(CTRLREC), "replay", *map(str, given), *more]
    return time.perf_counter(), subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _ended(started: tuple[float, subprocess.Popen[bytes]]) -> Spent:
    began, process = started
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the replay ended with {process.returncode}")
    return Spent(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def _kill_at(started: tuple[float, subprocess.Popen[bytes]], segments: Path, count: int) -> None:
    _, process = started
    while len(list(segments.glob("*.msgpack"))) < count and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        raise SystemExit(f"the replay ended with {process.returncode} before it was killed: take more lists")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.replayscale", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="speed or identity; both without")
    parser.add_argument("--lists", type=int, default=50_000)
    parser.add_argument("--log", type=Path, help="a log of so many lists; made if it is not there, and kept")
    parser.add_argument("--data", type=Path, default=Path("var/data"))
    parser.add_argument("--bundle", type=Path, default=Path("var/bundle"))
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory(prefix="ctrlrec-replays-") as name:
        folder = Path(name)
        log = arguments.log or folder / "log"
        if not log.exists():
            print(f"making a log of {arguments.lists:,} lists", flush=True)
            write_log(log, arguments.data, arguments.lists)
        missed = False
        for part in arguments.parts or PARTS:
            measure = speed if part == "speed" else identity
            for figure in measure(log, folder, arguments.bundle, arguments.lists):
                print(figure.line(), flush=True)
                missed |= not all(bound.met(figure) for bound in figure.bounds)
    sys.exit(missed)


if __name__ == "__main__":
    main()
