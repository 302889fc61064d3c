"""What a replay says of its rankings, against closed forms; and what is left of it after a kill."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from typer.testing import CliRunner

from ranker.adherence import Figures
from ranker.errors import ConfigError
from ranker.events import CandidateList
from ranker.ragged import Spans
from ranker.run import Asked, lay_out
from streams import cli
from streams.replay.engagement import CLIP, Clicked, estimate
from streams.replay.figures import COLUMNS, compare
from streams.replay.job import replay
from streams.replay.known import Known
from streams.replay.plan import Job
from streams.replay.segments import FEEDS, Feed, most_changed
from streams.replay.sources import Log
from streams.replay.state import Codes
from streams.replay.totals import Totals, _estimate, _Terms, jackknifed
from streams.replay.variants import Answers, Ranked, Variant
from streams.settings import Settings
from streams.standarderror import ClusteredMean
from streams.wire import encode
from tests.unit.tiny_towers import bundle_folder, data

ROOT = Path(__file__).parents[2]


def answers(orders: list[list[list[int]]], top_k: int | None = None) -> Answers:
    """Lists e0, e1, ... of items named by their base rank; `orders` has for each variant the fused order of each list."""
    run = [
        Asked(
            CandidateList(
                event_id=f"e{number}", user_id="u", item_ids=[f"i{n}" for n in range(len(order))][::-1],
                base_scores=[float(-n) for n in range(len(order))][::-1], created_at=0.0, top_k=top_k,
            ),
            None,
        )
        for number, order in enumerate(orders[0])
    ]  # fmt: skip
    flat, refused = lay_out(run, Codes().of)
    assert flat
    assert not refused
    lists = len(run)
    ranked = [
        Ranked(
            np.concatenate([np.array(order) + start for order, start in zip(variant, flat.spans.starts, strict=True)]),
            [0.5] * lists, np.ones(lists, bool), np.tile([0.2, 0.5, 0.8], (lists, 1)), [None] * lists,
        )
        for variant in orders
    ]  # fmt: skip
    return Answers(flat, ranked, [], [""] * lists)


def column(compared: Any, name: str, variant: int = 0) -> list[float]:
    return list(compared.rows[variant, :, COLUMNS.index(name)])


def test_figures_of_lists_that_one_can_check_by_hand() -> None:
    same, swapped, reverse = [0, 1, 2], [1, 0, 2], [2, 1, 0]
    long = [*range(10, 20), *range(10)]
    compared = compare(answers([[same, reverse, [0], long], [swapped, reverse, [0], list(range(20))]]))
    # d² sums to 2 for n = 3: 1 - 6 · 2 / (3 · 8); the halves of 20 exchanged: 20 · 10² = 2000, 1 - 12000 / 7980
    assert column(compared, "rho") == [1.0, -1.0, 1.0, 1 - 12000 / 7980]
    assert column(compared, "overlap") == [1.0, 1.0, 1.0, 0.0]
    assert column(compared, "rho", 1) == [0.5, -1.0, 1.0, 1.0]
    assert compared.pairs[0].tolist() == [[1.0, 0.5], [1.0, 1.0], [1.0, 1.0], [0.0, 1 - 12000 / 7980]]
    assert column(compared, "gain") == pytest.approx([0.5] * 4)  # (0.5 - 0.2) / (0.8 - 0.2)
    assert column(compared, "steered") == column(compared, "headroom") == [1.0] * 4


@settings(deadline=None)
@given(st.lists(st.integers(2, 30).flatmap(lambda n: st.permutations(range(n))), min_size=1, max_size=5))
def test_rank_correlation_is_spearmans(orders: list[list[int]]) -> None:
    compared = compare(answers([orders]))
    for order, rho, overlap in zip(orders, column(compared, "rho"), column(compared, "overlap"), strict=True):
        places = np.argsort(order)
        assert rho == pytest.approx(spearmanr(np.arange(len(order)), places).statistic)
        assert overlap == len(set(order[:10]) & set(range(10))) / min(10, len(order))


def test_clicks_are_weighted_by_where_the_item_would_have_stood() -> None:
    """Item i2 was shown on place 1 and now stands first: θ(0) / θ(1) = 2; i0 the other way round; i1 is cut off."""
    given_ = answers([[[2, 0, 1]], [[1, 2, 0]]], top_k=2)
    compared = compare(given_)
    clicks = {"e0": [Clicked("i2", 1), Clicked("i0", 0), Clicked("i1", 0), Clicked("x", 0)]}
    assert estimate(given_, compared, clicks, 1.0) == [("e0", "x")]
    assert column(compared, "clicks") == [3.0]
    assert column(compared, "expected") == [2.0 + 1 / 2 + 0.0]
    assert column(compared, "expected", 1) == [2 / 2 + 0.0 + 1.0]
    far = answers([[[49, *range(49)]]])
    compared = compare(far)
    estimate(far, compared, {"e0": [Clicked("i49", 49)]}, 1.0)
    assert column(compared, "expected") == [CLIP]


def test_the_jackknife_of_equal_groups_is_the_error_of_their_means() -> None:
    means = np.array([1.0, 2.0, 4.0, 5.0])
    estimate = jackknifed(means * 3, np.full(4, 3.0))
    half = 3.18244631 * means.std(ddof=1) / math.sqrt(4)  # t of 3 degrees of freedom
    assert (estimate.mean, estimate.observations, estimate.users) == (3.0, 12, 4)
    assert (estimate.low, estimate.high) == pytest.approx((3 - half, 3 + half))
    assert jackknifed(np.array([6.0, 0.0]), np.array([3.0, 0.0])).low is None  # one group says nothing of others


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(-1, 1)), min_size=2, max_size=40))
def test_intervals_are_those_of_a_clustered_mean(observations: list[tuple[str, float]]) -> None:
    users = sorted({user for user, _ in observations})
    sums = np.array([sum(value for user, value in observations if user == each) for each in users])
    counts = np.array([float(sum(user == each for user, _ in observations)) for each in users])
    expected = ClusteredMean()
    for user, value in observations:
        expected.add(user, value)
    found = _estimate(_Terms.of(sums, counts))
    assert found.mean == pytest.approx(expected.mean, abs=1e-12)
    assert (found.users, found.observations) == (len(users), len(observations))
    if len(users) == 1:
        assert found.low is None
    else:
        from scipy.stats import t

        half = expected.standard_error * t.ppf(0.975, len(users) - 1)
        assert found.high == pytest.approx(expected.mean + half, abs=1e-12)


def test_the_difference_of_variants_is_that_of_each_user() -> None:
    """One that is better by the same for everybody is better without doubt, however unlike the users are."""
    lists = np.array([1.0, 2.0, 5.0])
    one = np.array([0.1, 1.8, 0.0])
    found = _estimate(_Terms.of(one + 0.2 * lists, lists), _Terms.of(one, lists))
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))
    unlike = _estimate(_Terms.of(one, lists))
    assert unlike.low is not None
    assert unlike.high is not None
    assert unlike.high - unlike.low > 0.5


def test_no_lists_have_no_figures() -> None:
    totals = Totals([Variant("replay", None, "rank")])
    assert totals.estimate(0, "gain").mean is None
    assert not math.isnan(totals.estimate(0, "overlap").observations)


def test_the_feeds_that_changed_most_are_of_unlike_users() -> None:
    def feed(number: int, user: str, overlap: float, rho: float) -> Feed:
        return Feed(f"e{number}", user, "", 0.5, overlap, rho, [], [])

    feeds = [feed(n, f"u{n}", 0.5, n / 100) for n in range(20)] + [feed(99, "u3", 0.1, 0.9), feed(100, "u3", 0.1, 0.8)]
    kept = most_changed(feeds)
    assert [each.event_id for each in kept] == ["e100", "e0", "e1", "e2", *(f"e{n}" for n in range(4, 10))]
    assert len(kept) == FEEDS


def log_of(folder: Path, lists: int) -> Path:
    rng = np.random.default_rng(5)
    lines: list[dict[str, object]] = []
    for number in range(lists):
        user = f"u{number % 50}"
        if number % 9 == 0:
            wish = {"event_id": f"r{number}", "user_id": user, "op": "set", "text": f"wish {number % 7}"}
            lines.append({"topic": "requests", "value": wish | {"created_at": float(number)}})
        if number % 400 == 0:
            lines.append({"topic": "items", "value": {"item_id": f"n{number}", "text": f"novel {number}"}})
        ids = [f"i{n}" for n in rng.permutation(50)[:20].tolist()] + [f"n{number // 400 * 400}"]
        shown = {"event_id": f"e{number}", "user_id": user, "item_ids": ids, "base_scores": rng.random(21).tolist()}
        lines.append({"topic": "candidates", "value": shown | {"created_at": 0.0}})
        if number % 5 == 0:
            click = {"event_id": f"e{number}", "item_id": ids[3]} | ({"position": 2} if number % 2 else {})
            lines.append({"topic": "clicks", "value": click})
        if number % 100 == 7:
            lines.append({"topic": "candidates", "value": {"event_id": "bad"}})
    log = folder / "log.jsonl"
    log.write_bytes(b"".join(encode(line) + b"\n" for line in lines))
    return log


def files(folder: Path) -> dict[str, bytes]:
    """All that a replay is to leave the same, whoever did which part of it."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix not in (".sqlite", ".png")
    }


def test_two_processes_and_a_kill_leave_the_same_bytes(tmp_path: Path) -> None:
    log = log_of(tmp_path, 2_000)
    job = Job(
        Log(str(log)), tmp_path / "one", Settings(), [bundle_folder()], [0.2, 0.7], ["rank", "score"], segment=150
    )
    replay(job)
    replay(job._replace(out=tmp_path / "two", processes=2))
    expected = files(tmp_path / "one")
    assert len(expected) == 14 * 5 + 1
    assert files(tmp_path / "two") == expected
    killed = tmp_path / "killed"
    code = (
        "import sys; from pathlib import Path; from streams.replay.job import *\n"
        f"job = Job(Log({str(log)!r}), Path({str(killed)!r}), Settings(), [Path({str(bundle_folder())!r})], [0.2, 0.7],"
        " ['rank', 'score'], segment=150)\nif __name__ == '__main__': replay(job)"
    )
    for segments in (2, 6):
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
        while len(list(killed.glob("segments/*.msgpack"))) < segments and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = len(list(killed.glob("segments/*.msgpack")))
    replay(job._replace(out=killed))
    assert done < 14
    left = {name: content for name, content in files(killed).items() if not name.endswith(".part")}
    assert left == expected


def test_the_report_says_what_the_log_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, out = log_of(tmp_path, 300), tmp_path / "out"
    command = ["replay", str(log), "--out", str(out), "--bundle", str(bundle_folder()), "--weight", "0,0.5,1"]
    run = CliRunner().invoke(cli.build(), [*command, "--data", str(data())])
    assert run.exit_code == 0, run.output
    report = json.loads((out / "report.json").read_bytes())
    assert (report["lists"], report["ranked"], report["users"]) == (303, 300, 50)
    assert report["bad"] == {"schema": 3}
    assert [json.loads(line)["reason"] for line in (out / "bad-lines.jsonl").read_bytes().splitlines()] == [
        "schema"
    ] * 3
    assert report["known"] == {"clicks": 30, "rankings": 0, "place": 30}
    base, _, alone = (variant["figures"] for variant in report["variants"])
    assert base["overlap"]["mean"] == base["rho"]["mean"] == 1.0
    assert base["alignment change"]["mean"] == pytest.approx(0.0, abs=1e-9)
    assert alone["alignment"]["mean"] == pytest.approx(alone["best alignment"]["mean"])  # alone, it gets all there is
    assert base["gain"]["mean"] is None  # the untrained towers' alignments leave no headroom
    assert base["clicks"]["mean"] == pytest.approx(30 / 300)
    assert [(pair["one"], pair["other"]) for pair in report["pairs"]] == [("w0", "w0.5"), ("w0", "w1"), ("w0.5", "w1")]
    assert report["pairs"][1]["differences"]["alignment"]["mean"] == pytest.approx(alone["alignment change"]["mean"])
    assert report["pairs"][1]["rho"]["mean"] == pytest.approx(alone["rho"]["mean"])
    last = report["variants"][-1]
    for item in (*last["promoted"], *last["demoted"]):
        assert item["shift"]["low"] < item["shift"]["mean"] < item["shift"]["high"]
        assert (item["shift"]["observations"], item["shift"]["users"] > 5) == (item["lists"], True)
    assert {(user["overlap"]["observations"], user["overlap"]["users"]) for user in last["users"]} == {(6, 1)}
    overlaps = [user["overlap"]["mean"] for user in last["users"]]
    assert overlaps == sorted(overlaps)
    assert overlaps[0] < last["figures"]["overlap"]["mean"]
    text = (out / "report.md").read_text()
    assert all(name in text for name in ("## w0.5", "![figures](figures.png)", "“wish ", "Promoted most", "(19"))
    assert (out / "figures.png").stat().st_size > 1_000
    again = CliRunner().invoke(cli.build(), [*command, "--data", str(data())])
    assert again.exit_code == 0, again.output


def test_one_file_for_one_variant(tmp_path: Path) -> None:
    log, out = log_of(tmp_path, 120), tmp_path / "rankings.jsonl"
    command = ["replay", str(log), "--out", str(out), "--bundle", str(bundle_folder())]
    run = CliRunner().invoke(cli.build(), [*command, "--weight", "1"])
    assert run.exit_code == 0, run.output
    assert len(out.read_bytes().splitlines()) == 120
    assert len(Path(f"{out}.bad").read_bytes().splitlines()) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "rankings.jsonl", "rankings.jsonl.bad"]
    table = " ".join(run.output.split())
    assert "lines skipped: schema │ 2 in" in table
    assert "mean adherence gain │ no list was controlled and left headroom" in table
    for wrong, says in (
        (["--weight", "0.1,0.2"], "name a folder"), (["--weight", "2"], "not in 0 to 1"), (["--fusion", "max"], "rrf"),
        (["--since", "2h"], "ctrlrec replay kafka"), (["--pin-bundle", "--bundle", "none"], "manifest"),
    ):  # fmt: skip
        failed = CliRunner().invoke(cli.build(), [*command, *wrong])
        assert says in str(failed.exception)


def test_what_the_log_says_elsewhere(tmp_path: Path) -> None:
    from streams.replay.known import gather
    from streams.replay.lines import Lines

    ranking = {
        "event_id": "e", "user_id": "u", "item_ids": ["a", "b"], "created_at": 0.0, "bundle": "x", "request_id": "r",
        "weight": 0.5, "degraded": None, "unknown_items": 0, "adherence": None,
    }  # fmt: skip
    lines = [
        {"topic": "clicks", "value": {"event_id": "e", "item_id": "b"}},
        {"topic": "clicks", "value": {"event_id": "e", "item_id": "b"}},
        {"topic": "clicks", "value": {"event_id": "e", "item_id": "a", "position": 7}},
        {"topic": "clicks", "value": {"event_id": "f", "item_id": "a"}},
        {"topic": "clicks", "value": {"event_id": "f"}},
        {"topic": "rankings", "value": ranking},
        {"topic": "rankings", "value": ranking | {"bundle": "y"}},
    ]
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"".join(encode(line) + b"\n" for line in lines))
    gather(Lines(log, 100_000), tmp_path / "known", served=True, advance=lambda _: None)
    known = Known(tmp_path / "known")
    assert known.clicked(["e", "f"]) == {"e": [Clicked("a", 7), Clicked("b", 1)]}
    assert known.served(["e", "f"])["e"][:3] == ("x", "r", None)
    assert known.skipped() == {"clicks: schema": 1, "place": 1}
    known.close()


def test_variants_must_be_told_apart() -> None:
    from streams.replay.variants import variants

    assert [each.name for each in variants([], ["rank"], ["v"])] == ["replay"]
    assert [each.name for each in variants([0.5], ["rank", "rrf"], ["v"])] == ["w0.5-rank", "w0.5-rrf"]
    assert Spans([1]).size == 1
    with pytest.raises(ConfigError, match="all different"):
        replay(Job(Log(str(ROOT / "README.md")), ROOT / "none", Settings(), [bundle_folder()] * 2))


SHARES = st.floats(0, 1, width=32) | st.sampled_from([0.0, 1.0, 0.5, 0.00005, 0.25005, 0.99995])


@given(st.lists(st.tuples(SHARES, SHARES, SHARES, st.integers(0, 10)), min_size=1, max_size=30))
def test_figures_are_rounded_in_columns_as_they_are_sent(rows: list[tuple[float, float, float, int]]) -> None:
    base, fused, best, kept = zip(*rows, strict=True)
    shares = [np.array(each, np.float32) for each in (base, fused, best)]
    figures = Figures(shares[0], shares[1], shares[2], np.array(kept))
    columns = [[None if value != value else value for value in column.tolist()] for column in figures.columns()]
    sent = [(each.base, each.fused, each.best, each.gain, each.overlap) for each in figures.structs()]
    assert list(zip(*columns, strict=True)) == sent
