"""Logs, ranges and options that are not as they should be, and what producers may write."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from ranker.errors import ConfigError, DataError
from streams import cli
from streams.replay import kafkarange
from streams.replay.alone import alone
from streams.replay.archive import Table
from streams.replay.engagement import Clicked
from streams.replay.job import replay
from streams.replay.kafkarange import _between, settle
from streams.replay.known import Known, gather
from streams.replay.lines import Lines
from streams.replay.log import KINDS, STATE, Entry, Unreadable
from streams.replay.parts import write
from streams.replay.pins import BUNDLES, Pins
from streams.replay.plan import RANGE, Job, Range, fixed
from streams.replay.record import _hour
from streams.replay.segments import Layout
from streams.replay.sources import Log
from streams.settings import Settings
from streams.wire import encode
from tests.unit.small_log import a_list, line, replayed
from tests.unit.tiny_towers import bundle_folder


@pytest.mark.parametrize(
    ("options", "says"),
    [
        *(([option, ""], f"{option} '' names none") for option in ("--weight", "--fusion", "--bundle")),
        (["--weight", ","], "names none"),
        (["--since", "1h", "--until", "2h"], "--since 1h --until 2h: ends before it begins"),
        (["--fusion", ","], "names none"),
        (["--bundle", ","], "names none"),
        (["--through-kafka", "--fusion", "score"], "leave out --fusion"),
        (["--through-kafka", "--bundle", "b"], "leave out --bundle"),
        *((["--eta", eta], f"--eta {eta}: not in 0 to 10") for eta in ("nan", "-1", "11", "inf")),
        *((["--speed", speed], f"--speed {speed}: neither 0") for speed in ("nan", "-1", "0.001", "inf")),
    ],
)
def test_options_that_say_nothing_or_would_not_be_heard(tmp_path: Path, options: list[str], says: str) -> None:
    log = tmp_path / "log.jsonl"
    log.touch()
    failed = CliRunner().invoke(cli.build(), ["replay", str(log), "--out", str(tmp_path / "out"), *options])
    assert isinstance(failed.exception, ConfigError)
    assert says in str(failed.exception)


def test_two_commands_do_not_write_to_one_folder(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.touch()
    command = ["replay", str(log), "--out", str(tmp_path / "out"), "--bundle", str(bundle_folder())]
    with alone(tmp_path / "out", "ctrlrec replay"):
        failed = CliRunner().invoke(cli.build(), command)
    assert isinstance(failed.exception, DataError)
    assert "out is being written by another `ctrlrec replay`" in str(failed.exception)
    assert CliRunner().invoke(cli.build(), command).exit_code == 0


@pytest.mark.parametrize("option", ["pin", "check"])
def test_nothing_to_compare_with_is_no_success(tmp_path: Path, option: str) -> None:
    log = tmp_path / "log.jsonl"
    log.touch()
    with pytest.raises(DataError, match="holds no rankings"):
        replay(Job(Log(str(log)), tmp_path / "out", Settings(), [bundle_folder()], **{option: True}))  # type: ignore[arg-type]


def test_nor_is_a_log_whose_rankings_are_of_other_lists(tmp_path: Path) -> None:
    command = [
        "replay",
        str(tmp_path / "log.jsonl"),
        "--out",
        str(tmp_path / "out.jsonl"),
        "--bundle",
        str(bundle_folder()),
    ]
    replayed(tmp_path, [line(a_list("a"))], bundles=[bundle_folder()])
    ranking = (tmp_path / "out" / "rankings" / "replay" / "part-00000.jsonl").read_bytes()
    for recorded, says in (
        (ranking, None),
        (ranking.replace(b'"event_id":"a"', b'"event_id":"b"'), "nothing was compared"),
    ):
        served = line(msgspec.Raw(recorded.strip()), topic="rankings")
        (tmp_path / "log.jsonl").write_bytes(b"\n".join([line(a_list("a")), served]))
        failed = CliRunner().invoke(cli.build(), [*command, "--check"]).exception
        assert failed is None if says is None else says in str(failed)


def test_strict_also_of_what_was_done_without(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"topic": "candidates", "value": {}}\n')
    job = Job(Log(str(log)), tmp_path / "out", Settings(), [bundle_folder()])
    replay(job)
    with pytest.raises(DataError, match="line 1: schema"):
        replay(job._replace(strict=True))


@pytest.mark.parametrize(
    ("ranges", "says"),
    [
        (("candidates[0]@9-3",), "ends before it begins"),
        (("candidates[0]@1-3", "candidates[0]@7-9"), "the second range"),
        (("candidates@1-3",), "is no range"),
    ],
)
def test_ranges_that_are_none(ranges: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        settle(Log("kafka", ranges=ranges), Settings())


def test_another_range_is_not_taken_for_the_one_before(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "parquet")
    write(layout.segments / RANGE, msgspec.json.encode(Range(["--since 2h"], (("candidates", 0, 3, 9),))))
    job = Job(Log("kafka", since=1.0, asked=("--since 2h",)), tmp_path, Settings(), [])
    assert fixed(job, layout).ends == (("candidates", 0, 3, 9),)
    for other in (Log("kafka", asked=("--since 30m",)), Log("kafka"), job.log._replace(ranges=("items[0]@1-2",))):
        with pytest.raises(ConfigError, match="another range"):
            fixed(job._replace(log=other), layout)


def test_times_choose_lists_and_not_what_steers_them() -> None:
    class Consumer:
        """Offsets 10 to 99, one a second."""

        def beginning_offsets(self, places: list[str]) -> dict[str, int]:
            return dict.fromkeys(places, 10)

        def end_offsets(self, places: list[str]) -> dict[str, int]:
            return dict.fromkeys(places, 100)

        def offsets_for_times(self, times: dict[str, int]) -> dict[str, Any]:
            return {place: SimpleNamespace(offset=time // 1000, timestamp=time) for place, time in times.items()}

    log = Log("kafka", since=40.0, until=60.0)
    found = {kind: _between(Consumer(), "place", log, kind) for kind in KINDS}
    assert found == {
        "items": (10, 60), "requests": (10, 60), "controls": (10, 60), "candidates": (40, 60),
        "rankings": (40, 100), "clicks": (40, 100),
    }  # fmt: skip
    assert set(kafkarange.BEFORE) < set(STATE)


def test_a_click_on_no_place_that_there_is_and_a_folder_of_any_name(tmp_path: Path) -> None:
    clicks = [{"event_id": "e", "item_id": "a", "position": place} for place in (1 << 70, 2)]
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"".join(encode({"topic": "clicks", "value": click}) + b"\n" for click in clicks))
    file = tmp_path / "what?if #1 50%20" / "known"
    file.parent.mkdir()
    gather(Lines(log, 100_000), file, served=False, advance=lambda _: None)
    known = Known(file)
    assert known.clicked(["e"]) == {"e": [Clicked("a", 2, 2)]}
    assert known.skipped() == {"clicks: schema": 1}
    known.close()


def test_a_table_of_other_columns_is_named_and_a_row_without_topic_is_a_bad_line(tmp_path: Path) -> None:
    file = tmp_path / "log.parquet"
    columns: dict[str, Any] = {"topic": pa.array([None, "items"]), "value": ["{}", "{}"], "key": pa.nulls(2)}
    pq.write_table(pa.table(columns), file)
    first, second = Table(file).entries(STATE, lambda _: None)
    assert isinstance(first, Unreadable)
    assert isinstance(second, Entry)
    for name, values in (("value", [{"event_id": "e"}] * 2), ("partition", ["0", "1"]), ("headers", [["a"], []])):
        pq.write_table(pa.table(columns | {name: values}), file)
        with pytest.raises(DataError, match=f"its column {name} holds"):
            list(Table(file).entries(STATE, lambda _: None))


@pytest.mark.parametrize(
    ("timestamp", "hour"),
    [(-1, "1970-01-01T00"), (1_700_000_000_000, "2023-11-14T22"), (1_700_000_000_000_000_000, "9999-12-31T23")],
)
def test_the_hour_of_any_timestamp(timestamp: int, hour: str) -> None:
    assert _hour(timestamp) == hour


def test_bundles_that_are_put_away_are_gone() -> None:
    state: Any = SimpleNamespace(pinned={}, late={})
    known: Any = SimpleNamespace(
        served=lambda ids: {name: SimpleNamespace(bundle=name, request_id=None, degraded=None) for name in ids}
    )
    pins = Pins(known, state, lambda version: version)  # type: ignore[arg-type, return-value]
    for number in range(BUNDLES + 3):
        pins.asked(SimpleNamespace(event_id=f"v{number}", request=None))  # type: ignore[arg-type]
    assert set(pins._alone) == set(state.pinned) == {f"v{number}" for number in range(3, BUNDLES + 3)}
