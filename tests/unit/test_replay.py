"""Replays against `rank()` itself, whatever the log is cut into."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.embed import RequestEmbedder
from ranker.errors import BundleError, ConfigError, DataError
from ranker.events import CandidateList, ControlRequest, ItemUpsert
from ranker.fusion import FUSIONS
from ranker.rank import rank
from ranker.run import Steering
from streams.replay import onepass
from streams.replay.archive import SCHEMA, name_of
from streams.replay.job import replay
from streams.replay.lines import ENVELOPE, Lines
from streams.replay.log import KINDS, BadLine, Entry, Unreadable
from streams.replay.parts import read_part
from streams.replay.plan import Job, Outcome
from streams.replay.sources import Log
from streams.replay.totals import bad_lines, read_totals
from streams.settings import Settings
from streams.wire import decode_ranking, encode
from tests.smallbundle import SmallBundle

ITEMS = [f"i{n}" for n in range(20)]


def a_list(event_id: str, user_id: str = "u", **more: object) -> CandidateList:
    fields: dict[str, object] = {"item_ids": ITEMS, "base_scores": [float(-n) for n in range(20)], "created_at": 100.0}
    return CandidateList(event_id=event_id, user_id=user_id, **fields | more)  # type: ignore[arg-type]


def a_request(
    event_id: str, user_id: str = "u", op: str = "set", created_at: float = 50.0, **more: object
) -> ControlRequest:
    return ControlRequest(
        event_id=event_id, user_id=user_id, op=op, created_at=created_at, text="no horror", **more  # type: ignore[arg-type]
    )  # fmt: skip


def line(event: object, key: str | None = None) -> bytes:
    topics = {CandidateList: "candidates", ControlRequest: "requests", ItemUpsert: "items", type(None): "items"}
    return encode({"topic": topics[type(event)], "value": event, "key": key})


class Done(NamedTuple):
    """What a replay left."""

    rankings: list[bytes]
    events: dict[str, int]
    degraded: dict[str, int]
    bad: list[BadLine]

    @property
    def reasons(self) -> dict[str, int]:
        return dict(Counter(line.reason for line in self.bad))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles are small ones, whatever their folder's name is."""
    monkeypatch.setattr(
        "streams.replay.job.Bundle.load", lambda folder, **_: SmallBundle(version=folder.name, salt=SALTS[folder.name])
    )
    for module in ("job", "plan"):
        monkeypatch.setattr(f"streams.replay.{module}.version_of", lambda folder: folder.name)
    monkeypatch.setattr(
        "streams.replay.job.Store.load", lambda _, version, **__: SmallBundle(version=version, salt=SALTS[version])
    )


SALTS = {"small": "", "other": "pepper"}


def job_of(log: Path, out: Path, **options: Any) -> Job:
    defaults: dict[str, Any] = {"bundles": [Path("small")], "format": "jsonl", "settings": Settings()}
    return Job(Log(str(log)), out, **defaults | options)


def done(outcome: Outcome, variant: int = 0) -> Done:
    of = outcome.plan.variants[variant]
    parts = [outcome.layout.part(of, segment) for segment in outcome.segments]
    lines = [line for part in parts for line in part.read_bytes().splitlines()]
    totals = read_totals(outcome.layout, outcome.segments, outcome.plan.variants)
    events = totals.events | ({"candidates": totals.ranked} if totals.ranked else {})
    return Done(lines, events, totals.degraded[variant], list(bad_lines(outcome.layout, outcome.segments)))


def replayed(folder: Path, lines: list[bytes], **options: Any) -> Done:
    log = folder / "log.jsonl"
    log.write_bytes(b"\n".join(lines) + b"\n")
    return done(replay(job_of(log, folder / "out", **options), restart=True))


def test_a_replay_is_what_rank_gives(tmp_path: Path) -> None:
    request, candidates = a_request("r1", weight=0.8), a_list("e1", explain=True)
    whole = replayed(tmp_path, [line(request), line(candidates)])
    bundle = SmallBundle()
    steering = Steering.of(RequestEmbedder(bundle).control(request))
    assert whole.rankings == [encode(rank(candidates, steering, bundle.model()))]
    assert decode_ranking(whole.rankings[0]).request_id == "r1"
    assert whole.events == {"requests": 1, "candidates": 1}


def test_the_state_follows_the_order_of_the_log(tmp_path: Path) -> None:
    whole = replayed(
        tmp_path,
        [
            line(a_list("before")),
            line(a_request("r1")),
            line(a_list("steered")),
            line(a_list("another's", user_id="v")),
            line(a_request("late", created_at=40.0)),  # older than what is in force
            line(a_list("still r1")),
            line(a_request("r2", created_at=60.0, expires_at=99.0)),
            line(a_list("expired")),
            line(a_request("c", op="clear", created_at=70.0)),
            line(a_list("cleared")),
            line(a_request("older than the withdrawal", created_at=65.0)),
            line(a_list("still cleared")),
            line(a_list("one-shot", request="surprise me")),
        ],
    )
    read = [decode_ranking(ranking) for ranking in whole.rankings]
    assert [(r.event_id, r.request_id, r.degraded) for r in read] == [
        ("before", None, "no_control"),
        ("steered", "r1", None),
        ("another's", None, "no_control"),
        ("still r1", "r1", None),
        ("expired", None, "control_expired"),
        ("cleared", None, "no_control"),
        ("still cleared", None, "no_control"),
        ("one-shot", "one-shot", None),
    ]
    assert whole.degraded == {"no_control": 4, "control_expired": 1}


def mixed() -> list[bytes]:
    """Items come amid lists, and so do lines that are none."""
    asked: dict[str, Any] = {"item_ids": ["new", "i0"], "base_scores": [1.0, 0.5], "request": "x"}
    return [
        *[line(a_list(f"a{n}", f"u{n % 3}", **asked)) for n in range(7)],
        line(ItemUpsert(item_id="new", text="a film")),
        line(a_list("b", **asked)),
        line(a_request("r1")),
        line(a_list("c", explain=True, top_k=3)),
        b"{",
        line(a_list("twice", item_ids=["i1", "i1"], base_scores=[1.0, 0.5])),
        line(a_list("d", weight=0.1)),
        line(None, key="new"),
        line(a_request("r2", created_at=60.0, weight=0.9)),
        line(a_list("e", item_ids=["i3"], base_scores=[0.0])),
        line(a_list("f", **asked)),
        line(a_request("c", op="clear", created_at=61.0)),
    ]


@pytest.mark.parametrize("end", range(1, 20))
def test_nothing_shows_of_what_comes_later(tmp_path: Path, end: int) -> None:
    lines = mixed()
    assert len(lines) == 19
    whole = replayed(tmp_path, lines)
    part = replayed(tmp_path, lines[:end])
    assert part.rankings == whole.rankings[: len(part.rankings)]
    assert [bad.line for bad in whole.bad] == [12, 13]


@pytest.mark.parametrize("batch", [1, 2, 128])
@pytest.mark.parametrize("segment", [1, 3, 1000])
def test_batches_and_segments_do_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, segment: int
) -> None:
    whole = replayed(tmp_path, mixed(), weights=[0.3, 0.8], fusions=["rank", "rrf"])
    monkeypatch.setattr(onepass.Way.__new__, "__defaults__", (False, False, segment, batch, 100_000))
    assert replayed(tmp_path, mixed(), weights=[0.3, 0.8], fusions=["rank", "rrf"], segment=segment) == whole


@pytest.mark.parametrize("method", FUSIONS)
def test_each_variant_is_a_replay_of_its_own(tmp_path: Path, method: Any) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"\n".join(mixed()))
    bundles, weights = [Path("small"), Path("other")], [0.0, 0.4, 1.0]
    together = replay(job_of(log, tmp_path / "all", bundles=bundles, weights=weights, fusions=list(FUSIONS)))
    assert len(together.plan.variants) == 18
    for number, variant in enumerate(together.plan.variants):
        if variant.fusion == method:
            job = job_of(
                log,
                tmp_path / variant.name,
                bundles=[bundles[variant.bundle]],
                weights=[variant.weight],
                fusions=[method],
            )
            assert done(together, number) == done(replay(job))
            first = decode_ranking(done(together, number).rankings[-4])
            assert (first.bundle, first.weight) == (bundles[variant.bundle].name, variant.weight)


def test_parquet_says_the_same(tmp_path: Path) -> None:
    lines = replayed(tmp_path, mixed(), weights=[0.3]).rankings
    log = tmp_path / "log.jsonl"
    outcome = replay(job_of(log, tmp_path / "columns", weights=[0.3], format="parquet", segment=4))
    parts = [outcome.layout.part(outcome.plan.variants[0], segment) for segment in outcome.segments]
    assert [encode(ranking) for part in parts for ranking in read_part(part)] == lines


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


def test_pins_are_what_served(tmp_path: Path) -> None:
    """The bundle and the request that the recorded ranking names, wherever in the log that request lies."""
    lines = [
        line(a_list("old bundle")),
        line(a_list("later request")),
        line(a_list("no control")),
        line(a_list("deadline", request="x")),
        line(a_list("own", request="x")),
        line(a_list("not recorded")),
        line(a_request("r1")),
        line(a_request("r2", created_at=60.0)),
        line(a_list("former request")),
        line(a_list("request is gone")),
    ]
    served = {
        "old bundle": ("other", "r1", None),
        "later request": ("small", "r2", None),
        "no control": ("small", None, "no_control"),
        "deadline": ("small", None, "deadline"),
        "own": ("other", "own", None),
        "former request": ("small", "r1", None),
        "request is gone": ("small", "r0", None),
    }
    rankings = [
        encode({"topic": "rankings", "value": {
            "event_id": event_id, "user_id": "u", "item_ids": ["i0"], "created_at": 0.0, "bundle": bundle, "weight": 0.5,
            "request_id": request_id, "degraded": degraded, "unknown_items": 0, "adherence": None,
        }}) for event_id, (bundle, request_id, degraded) in served.items()
    ]  # fmt: skip
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"\n".join(lines + rankings))
    store = tmp_path / "small"
    (store / "small").mkdir(parents=True)
    pinned = job_of(log, tmp_path / "out", bundles=[tmp_path / "small"], pin=True, check=True)
    with pytest.raises(BundleError, match=r"served by bundle other, which is not in .*small"):
        replay(pinned)
    (store / "other").mkdir()
    outcome = replay(pinned, restart=True)
    whole = done(outcome)
    read = {
        each.event_id: (each.bundle, each.request_id, each.degraded) for each in map(decode_ranking, whole.rankings)
    }
    assert read == served | {"not recorded": ("small", None, "no_control"), "request is gone": ("small", "r2", None)}
    totals = read_totals(outcome.layout, outcome.segments, outcome.plan.variants)
    assert totals.checked == [0, len(served), len(read.keys() - served.keys())]


@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl.zst", "parquet"])
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str) -> None:
    log = tmp_path / f"log.{suffix}"
    log.write_bytes(gzip.compress(b"x" * 1000)[:-9] if suffix == "jsonl.gz" else b"nothing of the kind")
    with pytest.raises(DataError, match=r"log\..* cannot be read"):
        replay(job_of(log, tmp_path / "out"))
    with pytest.raises(DataError, match="does not exist"):
        replay(job_of(tmp_path / "none", tmp_path / "out2"))


def test_another_replay_is_not_mixed_in(tmp_path: Path) -> None:
    replayed(tmp_path, mixed())
    with pytest.raises(ConfigError, match="holds another replay"):
        replay(job_of(tmp_path / "log.jsonl", tmp_path / "out", weights=[0.9]))
    replay(job_of(tmp_path / "log.jsonl", tmp_path / "out", weights=[0.9]), restart=True)


def test_a_damaged_segment_is_named_and_can_be_written_again(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"\n".join(mixed()))
    job = job_of(log, tmp_path / "out", segment=3)
    outcome = replay(job)
    before = {
        file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file() and file.suffix != ".sqlite"
    }
    file = outcome.layout.figures(1)
    file.write_bytes(b"\xc1")
    with pytest.raises(DataError, match="00001"):
        done(outcome)
    file.unlink()
    replay(job)
    assert {each: each.read_bytes() for each in before} == before


events = st.lists(
    st.builds(
        lambda user, text: line(a_request("r", user_id=user, context=text)),
        st.sampled_from("uv"),
        st.sampled_from("ab"),
    )
    | st.builds(lambda user: line(a_request("c", user_id=user, op="clear")), st.sampled_from("uv"))
    | st.builds(
        lambda user, request, weight, items: line(
            a_list("e", user_id=user, request=request, weight=weight, item_ids=items,
                   base_scores=[1.0] * len(items), explain=True)
        ),
        st.sampled_from("uv"), st.sampled_from([None, "x", "y"]), st.none() | st.floats(0, 1),
        st.lists(st.sampled_from([*ITEMS, "unknown"]), min_size=1, unique=True),
    )
    | st.binary(max_size=20).filter(lambda raw: b"\n" not in raw and b"\r" not in raw),
    max_size=12,
)  # fmt: skip


@settings(deadline=None)
@given(events, st.integers(1, 5))
def test_twice_gives_the_same_bytes(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], segment: int) -> None:
    folder = tmp_path_factory.mktemp("replay")
    first = replayed(folder, lines)
    assert replayed(folder, lines, segment=segment) == first
    assert sum(first.events.values()) + len(first.bad) == len(lines) or not lines


def test_progress_never_goes_back(tmp_path: Path) -> None:
    log, told = tmp_path / "log", list[tuple[int, int]]()
    log.write_bytes(b"\n".join([line(a_list("e"))] * 200))
    replay(
        job_of(log, tmp_path / "out", segment=50),
        lambda what, read, _, lists: told.append((read, lists)) if what == "replay" else None,
    )
    assert told == sorted(told)
    assert told[-1] == (log.stat().st_size, 200)
