"""python -m tests.bench [NAME...] [--list] [--json FILE] [--bundle DIR]"""

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from tests.bench import embedding, instruments, ranking, replaying, starting, streaming
from tests.bench.brokers import broker_name
from tests.bench.cores import Cores
from tests.bench.figures import Bench, Figure, Group

GROUPS: Mapping[str, Group] = {
    "rank": ranking.figures,
    "embed": embedding.figures,
    "metrics": instruments.figures,
    "replay": replaying.figures,
    "start": starting.figures,
    "stream": streaming.figures,
}


def run(groups: Iterable[Group], bench: Bench) -> list[Figure]:
    """Measure, showing each figure as soon as it is there."""
    figures = []
    for group in groups:
        for figure in group(bench):
            print(figure.line(), flush=True)
            figures.append(figure)
    return figures


def report(figures: list[Figure]) -> dict[str, object]:
    """What is written as JSON."""
    return {
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "broker": broker_name(),
        "missed": [figure.name for figure in figures if not all(bound.met(figure) for bound in figure.bounds)],
        "figures": figures,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="One line a figure.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="groups of figures; all of them without")
    parser.add_argument("--list", action="store_true", help="show the groups and end")
    parser.add_argument("--json", type=Path, default=Path("var/bench.json"), help="file to write the figures to")
    parser.add_argument("--bundle", type=Path, default=Path("var/bundle"), help="bundle to measure with")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - GROUPS.keys():
        parser.error(f"no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    if arguments.list:
        for name, group in GROUPS.items():
            print(f"{name:<10} {(group.__doc__ or '').splitlines()[0]}")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended, too
    with tempfile.TemporaryDirectory(prefix="ctrlrec-bench-") as folder:
        bench = Bench(arguments.bundle, Path(folder), Cores.here())
        figures = run([GROUPS[name] for name in arguments.names or GROUPS], bench)
    content = report(figures)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    missed = content["missed"]
    print(f"missed: {', '.join(missed)}" if isinstance(missed, list) and missed else "every bound is met")


if __name__ == "__main__":
    main()
