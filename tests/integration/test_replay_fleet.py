"""A replay through a fleet of workers that refuses some of the log, has seen it before, and has items of its own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from typer.testing import CliRunner

from ranker.errors import DataError
from ranker.events import ItemUpsert
from tests.unit.small_log import Done, a_list, a_request, done, job_of, line

if TYPE_CHECKING:
    from tests.live import Live

READ = 3_000
"""Bytes of an event that the fleet's workers read; whoever replays the log would read more."""


@pytest.fixture(scope="module", params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Live]":
    from tests.live import Live, live_settings
    from tests.unit.tiny_towers import bundle_folder

    settings = live_settings(request.getfixturevalue(request.param), bundle_folder(), max_event_bytes=READ)
    with Live(settings, tmp_path_factory.mktemp("fleet")) as live:
        yield live


def listed(event_id: str, *item_ids: str, **more: Any) -> bytes:
    from tests.live import ITEMS

    ids = [*item_ids, *ITEMS]
    return line(a_list(event_id, item_ids=ids, base_scores=[float(-n) for n in range(len(ids))], **more))


def log_lines() -> list[bytes]:
    """Each list's items are others than those of the list before it, under the same ids."""
    return [
        line(a_request("r1")),
        listed("before", "novel"),
        line(ItemUpsert(item_id="novel", text="novel: drama")),
        listed("first", "novel", "other"),
        line(ItemUpsert(item_id="novel", text="novel: horror")),
        line(ItemUpsert(item_id="other", text="novel: horror")),
        listed("second", "novel", "other", explain=True, top_k=3),
        line(ItemUpsert(item_id="novel", text="\N{HIRAGANA LETTER A}" * (READ // 2))),
        listed("third", "novel"),
        listed("long", *(f"{n} of a long list" for n in range(READ // 20))),
        line(None, key="novel"),
        listed("fourth", "novel", "other"),
        line(ItemUpsert(item_id="film 1", text="novel: drama")),
        listed("fifth", "film 1"),
    ]


REFUSED = [8, 10]
"""Lines that only the fleet refuses."""


def replayed(log: Path, out: Path, live: "Live", **options: Any) -> Done:
    from streams.replay.job import replay

    mine = msgspec.structs.replace(live.settings, max_event_bytes=1_000_000)
    fleet: dict[str, Any] = {"bundles": [], "fleet": True}
    return done(replay(job_of(log, out, settings=mine, **fleet | options)))


def written(folder: Path, lines: list[bytes]) -> Path:
    log = folder / f"log{len(lines)}.jsonl"
    log.write_bytes(b"\n".join(lines) + b"\n")
    return log


def test_what_a_fleet_refuses_is_a_bad_line_and_the_rest_is_as_of_its_place(fleet: "Live", tmp_path: Path) -> None:
    lines = log_lines()
    log = written(tmp_path, lines)
    taken = written(tmp_path, [each for number, each in enumerate(lines, 1) if number not in REFUSED])
    here = replayed(taken, tmp_path / "here", fleet, bundles=[fleet.settings.bundle], fleet=False)
    assert len(set(here.rankings)) == 6
    for name in ("fresh", "seen", "by one"):  # the second time, the fleet knows the log
        there = replayed(log, tmp_path / name, fleet, segment=1 if name == "by one" else 100)
        assert there.rankings == here.rankings
        assert [(bad.line, bad.reason) for bad in there.bad] == [(number, "too_large") for number in REFUSED]
        assert all("refused by a worker: " in bad.message for bad in there.bad)
    with pytest.raises(DataError, match="line 8: too_large: refused by a worker"):
        replayed(log, tmp_path / "strict", fleet, strict=True)


def test_the_command_counts_them(fleet: "Live", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streams import cli

    for name in ("kafka_bootstrap", "topic_prefix", "group"):
        monkeypatch.setenv(f"CTRLREC_{name.upper()}", str(getattr(fleet.settings, name)))
    command = ["replay", str(written(tmp_path, log_lines())), "--through-kafka", "--out", str(tmp_path / "out")]
    outcome = CliRunner().invoke(cli.build(), command)
    assert outcome.exit_code == 0, outcome.output
    assert "6 of 7 lists" in outcome.output
    bad = [json.loads(each) for each in (tmp_path / "out" / "bad-lines.jsonl").read_bytes().splitlines()]
    assert [(each["line"], each["reason"]) for each in bad] == [(number, "too_large") for number in REFUSED]
    assert "lines skipped: too_large" in (tmp_path / "out" / "report.md").read_text()


def test_items_that_only_the_fleet_knows_are_not_taken_for_the_logs(fleet: "Live", tmp_path: Path) -> None:
    fleet.publish("items", {"item_id": "its own", "text": "novel: drama"})
    assert fleet.outputs.until(lambda: any(record.key == b"its own" for record in fleet.outputs.vectors))
    upsert = line(ItemUpsert(item_id="its own", text="novel: drama"))
    told = replayed(written(tmp_path, [upsert, listed("told", "its own")]), tmp_path / "told", fleet)
    assert len(told.rankings) == 1
    with pytest.raises(DataError, match=r"'its own', of which the log says nothing before list 'untold'.* of its own"):
        replayed(written(tmp_path, [listed("untold", "its own"), upsert, upsert]), tmp_path / "untold", fleet)
