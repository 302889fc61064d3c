import math
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ranker.events import CandidateList
from streams.wire import decode_candidates
from tests.bench import __main__ as bench
from tests.bench.__main__ import GROUPS, report, run
from tests.bench.cores import Cores
from tests.bench.echo import _answer
from tests.bench.figures import Bench, Bound, Figure
from tests.bench.replayscale import unlike_files
from tests.bench.streaming import Latency, Made, _now, _outline, latency

BENCH = Bench(Path("bundle"), Path("folder"), Cores())


def fake(_bench: Bench) -> Iterator[Figure]:
    yield Figure("fast", 120.4, "µs", 2.5, "bare", (Bound("value", "at most", 150),), 99.0)
    yield Figure(
        "slow", 4000.0, "lists/s", 0.8, "peer", (Bound("value", "at least", 5000), Bound("ratio", "at least", 1))
    )
    yield Figure("plain", 2.5, "s")


def test_one_line_a_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fake"], BENCH, {"fake": fake})[1] == []
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "fast 120 µs 2.50 × bare (least 99) [at most 150 µs: ok]",
        "slow 4,000 lists/s 0.80 × peer [at least 5,000 lists/s: MISSED] [at least 1 ×: MISSED]",
        "plain 2.5 s",
    ]


def test_the_same_as_json() -> None:
    figures = list(fake(BENCH))
    content = msgspec.json.decode(msgspec.json.encode(report(figures, [])))
    assert content["missed"] == ["slow"]
    assert msgspec.convert(content["figures"], list[Figure]) == figures


def test_a_ratio_that_could_not_be_measured_misses_its_bound() -> None:
    bounds = (Bound("ratio", "at most", 1.2),)
    assert not bounds[0].met(Figure("x", 1.0, "s", None, None, bounds))
    assert not bounds[0].met(Figure("x", 1.0, "s", math.nan, "y", bounds))


def test_every_group_says_what_it_measures() -> None:
    assert all(group.__doc__ for group in GROUPS.values())


def test_what_fails_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_bench: Bench) -> Iterator[Figure]:
        yield Figure("first", 1.0, "s")
        raise RuntimeError("too busy")

    figures, failed = run(["broken", "fake"], BENCH, {"broken": broken, "fake": fake})
    assert ([figure.name for figure in figures], failed) == (["first", "fast", "slow", "plain"], ["broken"])
    assert "FAILED: too busy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("group", "options", "status"),
    [("slow", [], 1), ("slow", ["--no-bounds"], 0), ("good", [], 0), ("broken", ["--no-bounds"], 1)],
)
def test_a_missed_bound_shows_in_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, group: str, options: list[str], status: int
) -> None:
    def good(_bench: Bench) -> Iterator[Figure]:
        yield Figure("x", 1.0, "s", bounds=(Bound("value", "at most", 2),))

    def broken(bench: Bench) -> Iterator[Figure]:
        yield from fake(bench)
        raise RuntimeError("too busy")

    for name, function in (("slow", fake), ("good", good), ("broken", broken)):
        monkeypatch.setitem(bench.GROUPS, name, function)
    monkeypatch.setattr(sys, "argv", ["bench", group, *options, "--json", str(tmp_path / "bench.json")])
    with pytest.raises(SystemExit) as ended:
        bench.main()
    assert int(ended.value.code or 0) == status
    assert (tmp_path / "bench.json").exists()


def test_latency_is_told_from_what_was_counted_or_not_at_all() -> None:
    assert latency([0.3, 0.1, 0.2], 0.5) == Latency(0.2, 0.3, 0.5)
    with pytest.raises(RuntimeError, match="no list was made after"):
        latency([], 0.5)


def test_replays_are_alike_only_with_all_files_and_all_bytes(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder / "rankings").mkdir(parents=True)
        for name in ("report.json", "rankings/part", "figures.png"):
            (tmp_path / folder / name).write_text("same")
    assert unlike_files(tmp_path / "one", tmp_path / "other") == []
    (tmp_path / "other" / "figures.png").write_text("drawn anew")
    (tmp_path / "other" / "rankings" / "part").write_text("diff")
    (tmp_path / "one" / "lost").write_text("")
    (tmp_path / "other" / "new").write_text("")
    assert unlike_files(tmp_path / "one", tmp_path / "other") == ["lost", "new", "rankings/part"]


def test_work_has_a_core_to_itself_and_a_second_worker_where_there_are_four() -> None:
    assert Cores.of([3]) == Cores(3)
    assert Cores.of([0, 1]) == Cores(1, 0, frozenset({0}))
    assert Cores.of(range(3)) == Cores(2, 1, frozenset({0}))
    assert Cores.of(range(4)) == Cores(3, 2, frozenset({0, 1}))
    assert [Cores.of(range(cores)).enough for cores in (1, 2, 3, 4)] == [False, False, False, True]


def test_a_list_is_stamped_as_if_it_were_encoded_anew_and_the_echo_finds_its_time() -> None:
    event = CandidateList(event_id="e", user_id="u", item_ids=["@"], base_scores=[-1.0], created_at=1.0, request="@")
    stamped = decode_candidates(_now(_outline(event), 7))
    assert msgspec.structs.replace(stamped, created_at=1.0) == msgspec.structs.replace(event, event_id="l7")
    assert stamped.created_at > 1.7e9
    answer = _answer(_now(_outline(event), 7))
    assert msgspec.json.decode(answer, type=Made).created_at > 1.7e9
