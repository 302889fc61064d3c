"""Whatever kind of file or archive a log is, and whatever lines it has."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker.errors import ConfigError, DataError
from ranker.events import ControlRequest, ItemUpsert
from streams.replay.archive import SCHEMA, name_of
from streams.replay.job import replay
from streams.replay.lines import ENVELOPE, Lines
from streams.replay.log import KINDS, Entry, Unreadable
from streams.wire import decode_ranking, encode
from tests.unit.small_log import a_list, a_request, done, job_of, line, mixed, replayed

pytestmark = pytest.mark.usefixtures("small_bundles")

BAD = [
    (b"{", "malformed"),
    (b"\xff", "malformed"),
    (b"", "malformed"),
    (b'{"topic": "candidates"}', "schema"),
    (b'{"topic": "vectors", "value": {}}', "schema"),
    (b'{"topic": "candidates", "value": {"event_id": "e"}}', "schema"),
    (b'{"topic": "items", "value": null}', "schema"),
    (line(a_list("e", item_ids=["a", "a"], base_scores=[1.0, 2.0])), "schema"),
    (line(a_list("e", item_ids=["a"], base_scores=[1.0, 2.0])), "schema"),
    (line(a_list("e", request=" ")), "schema"),
    (line(ControlRequest(event_id="e", user_id="u", op="set", created_at=1.0)), "schema"),
    (line(ItemUpsert(item_id="i", text="x" * 2_001)), "schema"),
    (b'{"topic": "items", "value": {"item_id": "i", "text": "' + b"x" * 950_000 + b'"}}', "too_large"),
    (b'{"x": "' + b"x" * 3_000_000 + b'"}', "too_large"),
]


def test_bad_lines_are_skipped_counted_and_listed(tmp_path: Path) -> None:
    whole = replayed(tmp_path, [part for bad, _ in BAD for part in (bad, line(a_list("good")))])
    assert len(whole.rankings) == len(BAD)
    assert [(bad.line, bad.reason) for bad in whole.bad] == [(2 * n + 1, reason) for n, (_, reason) in enumerate(BAD)]


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_strict_stops_at_the_first(tmp_path: Path, bad: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=f"line 2: {reason}: "):
        replayed(tmp_path, [line(a_list("good")), bad, b"{"], strict=True)


def outcomes() -> list[bytes]:
    """Line 3 is no click, 4 no ranking, 6 on an item and 7 at a place that its list does not have."""
    said: list[dict[str, object]] = [
        {"topic": "clicks", "value": {"event_id": "e", "item_id": "i1", "position": 1}},
        {"topic": "clicks", "value": {"event_id": "e"}},
        {"topic": "rankings", "value": {"x": 1}},
        {"topic": "clicks", "value": {"event_id": "f", "item_id": "i0"}},
        {"topic": "clicks", "value": {"event_id": "e", "item_id": "nope", "position": 0}},
        {"topic": "clicks", "value": {"event_id": "e", "item_id": "i2", "position": 20}},
    ]
    return [line(a_list("e")), *map(encode, said)]


def test_bad_clicks_and_rankings_are_listed_where_they_lie(tmp_path: Path) -> None:
    found = replayed(tmp_path, outcomes())
    found.bad.sort(key=lambda bad: bad.line or 0)
    assert [bad.line for bad in found.bad] == [3, 4, 6, 7]
    assert [bad.message.partition(":")[0] for bad in found.bad[:2]] == ["clicks", "rankings"]
    assert ["'nope'" in found.bad[2].message, "position 20" in found.bad[3].message] == [True, True]


@pytest.mark.parametrize(("bad", "at"), [(2, 2), (3, 2), (5, 2), (6, 2)])
def test_strict_stops_at_a_bad_click_or_ranking(tmp_path: Path, bad: int, at: int) -> None:
    lines = outcomes()
    by_ranking = [encode({"topic": "clicks", "value": {"event_id": "e", "item_id": "i3"}})] if bad == 3 else []
    with pytest.raises(DataError, match=f"line {at}: "):
        replayed(tmp_path, [lines[0], lines[bad], *by_ranking], strict=True)


def test_a_line_of_any_length_takes_bounded_memory(tmp_path: Path) -> None:
    log = tmp_path / "log"
    most = 100 + ENVELOPE
    log.write_bytes(b"x" * 5_000 + b"\n" + b"x" * most + b"\n{}\n" + b"x" * (most + 1))
    read = list(Lines(log, 100).entries(KINDS, lambda _: None))
    assert [each.error.reason for each in read if isinstance(each, Unreadable)] == [
        "malformed",
        "malformed",
        "schema",
        "too_large",
    ]


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
def test_every_kind_of_file_gives_the_same(tmp_path: Path, suffix: str) -> None:
    lines = [each for each in mixed() if each != b"{"]
    expected = replayed(tmp_path, lines)
    log, content = tmp_path / f"log.{suffix}", b"\n".join(lines)
    if suffix == "parquet":
        read = [
            each
            for each in Lines(tmp_path / "log.jsonl", 10_000).entries(KINDS, lambda _: None)
            if isinstance(each, Entry)
        ]
        pq.write_table(
            pa.table({"topic": [e.kind for e in read], "key": [e.key for e in read], "value": [e.value for e in read]}),
            log,
        )
    else:
        packed = {
            "jsonl": lambda: content,
            "jsonl.gz": lambda: gzip.compress(content),
            "jsonl.zst": lambda: bytes(pa.compress(content, "zstd", asbytes=True)),
        }
        log.write_bytes(packed[suffix]())
    assert done(replay(job_of(log, tmp_path / "another"))) == expected


def archived(folder: Path, records: list[tuple[str, int, int, bytes]]) -> Path:
    """An archive of (topic, partition, milliseconds, line of a log), each partition with a file for every two records."""
    by_partition: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for topic, partition, time, raw in records:
        rows = by_partition.setdefault((topic, partition), [])
        event = json.loads(raw)
        value = None if event["value"] is None else encode(event["value"])
        key = (event["key"] or "").encode()
        rows.append({"topic": f"feed.{topic}", "partition": partition, "offset": 10 + len(rows), "timestamp": time,
                     "key": key, "value": value, "headers": []})  # fmt: skip
    for (topic, partition), rows in by_partition.items():
        for first in range(0, len(rows), 2):
            some = rows[first : first + 2]
            file = folder / f"topic={topic}" / "hour=x" / name_of(partition, some[0]["offset"], some[-1]["offset"])
            file.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(some, SCHEMA), file)
    return folder


def test_an_archive_is_replayed_in_the_order_of_time(tmp_path: Path) -> None:
    """Ties: items, requests, lists; and a partition's own order before any time."""
    new: dict[str, Any] = {"item_ids": ["new", "i0"], "base_scores": [1.0, 0.5], "request": "x"}
    in_order = [
        ("candidates", 0, 5, line(a_list("a", **new))),
        ("items", 0, 7, line(ItemUpsert(item_id="new", text="a film"))),
        ("requests", 1, 7, line(a_request("r", user_id="v"))),
        ("candidates", 0, 7, line(a_list("b", **new))),
        ("candidates", 1, 7, line(a_list("c", user_id="v"))),
        ("candidates", 0, 3, line(a_list("late, but after b", **new))),
        ("requests", 1, 9, line(a_request("c", user_id="v", op="clear", created_at=51.0))),
        ("candidates", 1, 8, line(a_list("d", user_id="v"))),
        ("items", 0, 9, line(None, key="new")),
        ("candidates", 0, 9, line(a_list("e", **new))),
    ]
    archive = archived(tmp_path / "archive", in_order)
    whole = done(replay(job_of(archive, tmp_path / "out")))
    read = {each.event_id: each for each in map(decode_ranking, whole.rankings)}
    assert list(read) == ["a", "b", "late, but after b", "c", "d", "e"]
    assert [each.unknown_items for each in read.values()] == [1, 0, 0, 0, 0, 1]
    assert (read["c"].request_id, read["d"].request_id) == ("r", "r")
    assert whole.events == {"items": 2, "requests": 2, "candidates": 6}
    assert whole.bad == []
    other = archived(
        tmp_path / "other", [("requests", 0, 1, line(a_request("r"))), ("candidates", 1, 2, line(a_list("a")))]
    )
    (ranking,) = done(replay(job_of(other, tmp_path / "out2"))).rankings
    assert decode_ranking(ranking).degraded == "no_control"  # of another partition


@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl.zst", "parquet"])
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str) -> None:
    log = tmp_path / f"log.{suffix}"
    log.write_bytes(gzip.compress(b"x" * 1000)[:-9] if suffix == "jsonl.gz" else b"nothing of the kind")
    with pytest.raises(DataError, match=r"log\..* cannot be read"):
        replay(job_of(log, tmp_path / "out"))
    with pytest.raises(DataError, match="does not exist"):
        replay(job_of(tmp_path / "none", tmp_path / "out2"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="read more than once"):
        replay(job_of(tmp_path / "pipe", tmp_path / "out2"))


def test_a_replay_goes_on_beside_a_recorder_with_the_files_that_there_were(tmp_path: Path) -> None:
    records = [("candidates", 0, n, line(a_list(f"a{n}"))) for n in range(8)]
    job = job_of(archived(tmp_path / "archive", records), tmp_path / "out", segment=2)
    before = replay(job)
    expected = done(before)
    before.layout.figures(3).unlink()
    archived(tmp_path / "archive", [("candidates", 1, 5, line(a_list("new")))])
    assert done(replay(job)) == expected
    assert len(done(replay(job, restart=True)).rankings) == 9
    next((tmp_path / "archive").rglob("00001-*")).unlink()
    with pytest.raises(DataError, match="is gone since the replay began"):
        replay(job)


def test_an_archive_is_not_taken_for_another_with_the_same_names(tmp_path: Path) -> None:
    one, other = (
        archived(tmp_path / name, [("candidates", 0, 0, line(a_list("a", item_ids=[name], base_scores=[0.0])))])
        for name in ("one", "other")
    )
    replay(job_of(one, tmp_path / "out"))
    with pytest.raises(ConfigError, match="holds another replay"):
        replay(job_of(other, tmp_path / "out"))
