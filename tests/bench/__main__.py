"""python -m tests.bench [NAME...] [--list] [--no-bounds] [--json FILE] [--bundle DIR]"""

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

from tests.bench import embedding, instruments, ranking, reacting, replaying, scaling, starting, streaming
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
    "scale": scaling.figures,
    "react": reacting.figures,
}


def run(names: Iterable[str], bench: Bench, groups: Mapping[str, Group] = GROUPS) -> tuple[list[Figure], list[str]]:
    """Measure, showing each figure as soon as it is there; and which groups could not be measured to their end."""
    figures, failed = [], []
    for name in names:
        try:
            for figure in groups[name](bench):
                print(figure.line(), flush=True)
                figures.append(figure)
        except RuntimeError as error:
            print(f"{name:<32} FAILED: {error}", flush=True)
            failed.append(name)
    return figures, failed


def missed(figures: Iterable[Figure]) -> list[str]:
    return [figure.name for figure in figures if not all(bound.met(figure) for bound in figure.bounds)]


def report(figures: list[Figure], failed: list[str]) -> dict[str, object]:
    """What is written as JSON."""
    return {
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "broker": broker_name(),
        "missed": missed(figures),
        "failed": failed,
        "figures": figures,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="One line a figure. Groups with a broker (stream, scale, react, start) have Apache Kafka where KAFKA_HOME "
        "names an unpacked one, else the embedded broker.",
        epilog="Ends with 0 if every bound is met, and with 1 if one is missed or a group could not be measured.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="groups of figures; all of them without")
    parser.add_argument("--list", action="store_true", help="show the groups and end")
    parser.add_argument(
        "--no-bounds", action="store_true", help="end with 0 although bounds are missed, as on a machine that is shared"
    )
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
        figures, failed = run(arguments.names or GROUPS, bench)
    content = msgspec.json.encode(report(figures, failed))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_bytes(msgspec.json.format(content, indent=2) + b"\n")
    unmet = missed(figures)
    print(f"missed: {', '.join(unmet)}" if unmet else "every bound that was measured is met")
    sys.exit(bool(failed or (unmet and not arguments.no_bounds)))


if __name__ == "__main__":
    main()
