import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.embed import RequestEmbedder
from ranker.errors import BadEvent, DataError
from ranker.events import CandidateList, ControlRequest, ItemUpsert
from ranker.rank import TOGETHER, Steering, rank
from ranker.vectors import quantize
from streams.replay import ENVELOPE, Replay, Summary, replay_file
from streams.wire import decode_ranking, encode
from tests.smallbundle import HashTower, SmallBundle

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


def replayed(tmp_path: Path, lines: list[bytes], **options: object) -> tuple[list[bytes], Summary, Path]:
    log, out = tmp_path / "log.jsonl", tmp_path / "out.jsonl"
    log.write_bytes(b"\n".join(lines) + b"\n")
    bundle = SmallBundle()
    summary = replay_file(Replay(bundle, bundle.model(), **options), log, out)  # type: ignore[arg-type]
    return out.read_bytes().splitlines(), summary, out


def test_a_replay_is_what_rank_gives(tmp_path: Path) -> None:
    request, candidates = a_request("r1", weight=0.8), a_list("e1", explain=True)
    rankings, summary, _ = replayed(tmp_path, [line(request), line(candidates)])
    bundle = SmallBundle()
    steering = Steering.of(RequestEmbedder(bundle).control(request))
    assert rankings == [encode(rank(candidates, steering, bundle.model()))]
    assert decode_ranking(rankings[0]).request_id == "r1"
    assert summary.events == {"requests": 1, "candidates": 1}


def test_the_state_follows_the_order_of_the_log(tmp_path: Path) -> None:
    rankings, summary, _ = replayed(
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
            line(a_request("c", op="clear")),
            line(a_list("cleared")),
            line(a_list("one-shot", request="surprise me")),
        ],
    )
    read = [decode_ranking(ranking) for ranking in rankings]
    assert [(r.event_id, r.request_id, r.degraded) for r in read] == [
        ("before", None, "no_control"),
        ("steered", "r1", None),
        ("another's", None, "no_control"),
        ("still r1", "r1", None),
        ("expired", None, "control_expired"),
        ("cleared", None, "no_control"),
        ("one-shot", "one-shot", None),
    ]
    assert summary.degraded == {"no_control": 3, "control_expired": 1}


def test_lists_wait_for_each_other_but_never_for_what_comes_later(tmp_path: Path) -> None:
    """Every answer is that of a replay which ends there."""
    lines = [
        *[
            line(a_list(f"a{n}", item_ids=["new", "i0"], base_scores=[1.0, 0.5], request="x"))
            for n in range(TOGETHER + 3)
        ],
        line(ItemUpsert(item_id="new", text="a film")),
        line(a_list("b", item_ids=["new", "i0"], base_scores=[1.0, 0.5], request="x")),
        line(a_request("r1")),
        line(a_list("c")),
        b"{",
        line(a_list("d")),
        line(a_request("r2", created_at=60.0)),
        line(a_list("e")),
    ]
    whole, summary, out = replayed(tmp_path, lines)
    assert [json.loads(entry)["line"] for entry in out.with_name("out.jsonl.bad").read_bytes().splitlines()] == [40]
    assert summary.events["candidates"] == len(whole) == TOGETHER + 7
    for end in range(1, len(lines) + 1):
        rankings, _, _ = replayed(tmp_path, lines[:end])
        assert rankings == whole[: len(rankings)]


def test_items_come_and_go(tmp_path: Path) -> None:
    asked = a_list("e", item_ids=["new", "i0"], base_scores=[1.0, 0.5], request="x")
    rankings, summary, _ = replayed(
        tmp_path,
        [line(asked), line(ItemUpsert(item_id="new", text="a film")), line(asked), line(None, key="new"), line(asked)],
    )
    assert [decode_ranking(ranking).unknown_items for ranking in rankings] == [1, 0, 1]
    assert summary.events["items"] == 2


def test_overriding_the_weight_beats_every_other_weight(tmp_path: Path) -> None:
    lines = [line(a_request("r", weight=0.3)), line(a_list("e", weight=0.9)), line(a_list("f"))]
    for weight in (0.0, 1.0):
        rankings, _, _ = replayed(tmp_path, lines, weight=weight)
        read = [decode_ranking(ranking) for ranking in rankings]
        assert [r.weight for r in read] == [weight, weight]
        if weight == 0.0:
            assert read[0].item_ids == ITEMS


BAD = [
    (b"{", "malformed"),
    (b"\xff", "malformed"),
    (b"", "malformed"),
    (b'{"topic": "candidates"}', "schema"),
    (b'{"topic": "rankings", "value": {}}', "schema"),
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
    lines = [part for bad, _ in BAD for part in (bad, line(a_list("good")))]
    rankings, summary, out = replayed(tmp_path, lines)
    assert len(rankings) == len(BAD)
    reasons = [reason for _, reason in BAD]
    assert summary.bad == {reason: reasons.count(reason) for reason in reasons}
    listed = [json.loads(entry) for entry in out.with_name("out.jsonl.bad").read_bytes().splitlines()]
    assert [(entry["line"], entry["reason"]) for entry in listed] == [
        (2 * n + 1, reason) for n, reason in enumerate(reasons)
    ]
    assert all(entry["message"] for entry in listed)
    # A replay in which nothing is wrong leaves no list of an earlier one.
    replayed(tmp_path, [line(a_list("good"))])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "out.jsonl"]


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_strict_stops_at_the_first_and_leaves_the_former_output(tmp_path: Path, bad: bytes, reason: str) -> None:
    log, out = tmp_path / "log", tmp_path / "out"
    log.write_bytes(line(a_list("e")) + b"\n" + bad + b"\n")
    out.write_bytes(b"former")
    bundle = SmallBundle()
    with pytest.raises(DataError, match=f"log:2: {reason}: "):
        replay_file(Replay(bundle, bundle.model()), log, out, strict=True)
    assert out.read_bytes() == b"former"
    assert not (tmp_path / "out.part").exists()


def test_a_line_of_any_length_takes_bounded_memory(tmp_path: Path) -> None:
    seen: list[int] = []

    class Spy(Replay):
        def answers(self, lines: Iterable[bytes | BadEvent]) -> Iterator[tuple[int, bytes | BadEvent]]:
            return super().answers(self._noted(lines))

        def _noted(self, lines: Iterable[bytes | BadEvent]) -> Iterator[bytes | BadEvent]:
            for line in lines:
                if isinstance(line, bytes):
                    seen.append(len(line))
                yield line

    log = tmp_path / "log"
    log.write_bytes(b"x" * 5_000 + b"\n" + b"x" * (100 + ENVELOPE) + b"\n{}\n" + b"x" * (100 + ENVELOPE + 1))
    bundle = SmallBundle()
    summary = replay_file(Spy(bundle, bundle.model(), max_event_bytes=100), log, tmp_path / "out")
    assert seen == [5_000, 100 + ENVELOPE, 2]
    assert summary.bad == {"malformed": 2, "schema": 1, "too_large": 1}


def test_the_log_itself_is_not_overwritten(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(line(a_list("e")))
    bundle = SmallBundle()
    with pytest.raises(DataError, match="the log itself"):
        replay_file(Replay(bundle, bundle.model()), log, log)
    with pytest.raises(DataError, match="No such file"):
        replay_file(Replay(bundle, bundle.model()), tmp_path / "none", tmp_path / "out")


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


@given(events)
def test_twice_gives_the_same_bytes(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("replay")
    first, first_summary, _ = replayed(folder, lines)
    second, second_summary, _ = replayed(folder, lines)
    assert first == second
    assert first_summary.events == second_summary.events
    assert first_summary.events.total() + first_summary.bad.total() == len(lines) or not lines


def test_late_items_are_what_the_agents_store() -> None:
    bundle = SmallBundle()
    assert list(Replay(bundle, bundle.model()).answers([line(ItemUpsert(item_id="new", text="a film"))])) == []
    asked = quantize(HashTower().embed("x"))
    stored = quantize(HashTower().embed("a film"))
    score = bundle.items.scores(bundle.items.rows(["new"]), asked.floats())[0]
    assert score == np.float32(stored.floats() @ asked.floats()) * np.float32(stored.scale)


def test_progress_never_goes_back(tmp_path: Path) -> None:
    log, told = tmp_path / "log", list[int]()
    log.write_bytes(b"\n".join([line(a_list("e"))] * 200))
    bundle = SmallBundle()
    replay_file(Replay(bundle, bundle.model()), log, tmp_path / "out", progress=told.append)
    assert told == sorted(told)
    assert 0 < told[-1] <= log.stat().st_size
