"""Replays against `rank()` itself, whatever the log is cut into."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.embed import RequestEmbedder
from ranker.errors import BundleError, ConfigError, DataError
from ranker.fusion import FUSIONS
from ranker.rank import rank
from ranker.run import Steering
from streams import replayoptions
from streams.replay import onepass
from streams.replay.job import replay
from streams.replay.parts import read_part
from streams.replay.totals import read_totals
from streams.wire import decode_ranking, encode
from tests.smallbundle import SmallBundle
from tests.unit.small_log import ITEMS, a_list, a_request, done, job_of, line, mixed, replayed

pytestmark = pytest.mark.usefixtures("small_bundles")


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
    assert len(together.plan.variants) == 6 * len(FUSIONS)
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


def test_another_replay_is_not_mixed_in(tmp_path: Path) -> None:
    replayed(tmp_path, mixed())
    with pytest.raises(ConfigError, match="holds another replay"):
        replay(job_of(tmp_path / "log.jsonl", tmp_path / "out", weights=[0.9]))
    replay(job_of(tmp_path / "log.jsonl", tmp_path / "out", weights=[0.9]), restart=True)


def test_what_is_not_a_replays_is_not_removed(tmp_path: Path) -> None:
    own = tmp_path / "out" / "rankings" / "mine.csv"
    own.parent.mkdir(parents=True)
    own.write_text("years of work")
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(mixed()))
    with pytest.raises(ConfigError, match="delete them yourself"):
        replay(job_of(tmp_path / "log.jsonl", tmp_path / "out"), restart=True)
    assert own.read_text() == "years of work"


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


def test_every_fusion_can_be_asked_for() -> None:
    assert replayoptions.fusions(",".join(FUSIONS)) == list(FUSIONS)
