import math
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.bench.__main__ import GROUPS, report, run
from tests.bench.cores import Cores
from tests.bench.figures import Bench, Bound, Figure

BENCH = Bench(Path("bundle"), Path("folder"), Cores(None, None))


def fake(_bench: Bench) -> Iterator[Figure]:
    yield Figure("fast", 120.4, "µs", 2.5, "bare", (Bound("value", "at most", 150),), 99.0)
    yield Figure(
        "slow", 4000.0, "lists/s", 0.8, "peer", (Bound("value", "at least", 5000), Bound("ratio", "at least", 1))
    )
    yield Figure("plain", 2.5, "s")


def test_one_line_a_figure(capsys: pytest.CaptureFixture[str]) -> None:
    run([fake], BENCH)
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "fast 120 µs 2.50 × bare (least 99) [at most 150 µs: ok]",
        "slow 4,000 lists/s 0.80 × peer [at least 5,000 lists/s: MISSED] [at least 1 ×: MISSED]",
        "plain 2.5 s",
    ]


def test_the_same_as_json() -> None:
    figures = list(fake(BENCH))
    content = msgspec.json.decode(msgspec.json.encode(report(figures)))
    assert content["missed"] == ["slow"]
    assert msgspec.convert(content["figures"], list[Figure]) == figures


def test_a_ratio_that_could_not_be_measured_misses_its_bound() -> None:
    bounds = (Bound("ratio", "at most", 1.2),)
    assert not bounds[0].met(Figure("x", 1.0, "s", None, None, bounds))
    assert not bounds[0].met(Figure("x", 1.0, "s", math.nan, "y", bounds))


def test_every_group_says_what_it_measures() -> None:
    assert all(group.__doc__ for group in GROUPS.values())
