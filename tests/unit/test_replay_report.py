"""What a replay leaves, whoever did which part of it: the same bytes after a kill, and a report of the log."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ranker.errors import ConfigError
from ranker.ragged import Spans
from streams import cli
from streams.replay.engagement import Clicked
from streams.replay.job import replay
from streams.replay.known import Known
from streams.replay.plan import Job
from streams.replay.sources import Log
from streams.settings import Settings
from streams.wire import encode
from tests.unit.tiny_towers import bundle_folder, data

ROOT = Path(__file__).parents[2]


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
    assert known.clicked(["e", "f"]) == {"e": [Clicked("a", 7, 3), Clicked("b", 1, 1)]}
    assert known.served(["e", "f"])["e"][:3] == ("x", "r", None)
    assert known.skipped() == {"clicks: schema": 1, "place": 1}
    assert [(bad.line, bad.reason) for bad in known.bad()] == [(5, "schema")]
    known.close()


def test_variants_must_be_told_apart() -> None:
    from streams.replay.variants import variants

    assert [each.name for each in variants([], ["rank"], ["v"])] == ["replay"]
    assert [each.name for each in variants([0.5], ["rank", "rrf"], ["v"])] == ["w0.5-rank", "w0.5-rrf"]
    assert Spans([1]).size == 1
    with pytest.raises(ConfigError, match="all different"):
        replay(Job(Log(str(ROOT / "README.md")), ROOT / "none", Settings(), [bundle_folder()] * 2))


def test_many_variants_have_rows_on_a_terminal_and_nobody_is_affected_by_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = tmp_path / "out"
    weights = ["0", "0.1", "0.2", "0.4", "0.6", "0.8", "0.9", "1"]
    command = ["replay", str(log_of(tmp_path, 300)), "--weight", ",".join(weights), "--out", str(out)]
    outcome = CliRunner().invoke(cli.build(), [*command, "--bundle", str(bundle_folder())])
    assert outcome.exit_code == 0, outcome.output
    rows = {row.split()[0]: row.split() for row in outcome.output.splitlines() if row.strip()}
    assert [len(rows[f"w{weight}"]) for weight in weights] == [6] * len(weights)
    assert rows["w0"][3] == "1.000±0.000"
    assert "…" not in outcome.output
    report = json.loads((out / "report.json").read_bytes())
    assert report["variants"][0]["users"] == []
    assert all(user["overlap"]["mean"] < 1 or user["rho"] < 1 for user in report["variants"][-1]["users"])
    assert f"| log | `{tmp_path / 'log.jsonl'}` |" in (out / "report.md").read_text()
