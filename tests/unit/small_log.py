"""Small logs, and what replays of them leave."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from ranker.events import CandidateList, Control, ControlRequest, ItemUpsert
from streams.replay.job import replay
from streams.replay.log import BadLine
from streams.replay.plan import Job, Outcome
from streams.replay.sources import Log
from streams.replay.totals import bad_lines, read_totals
from streams.settings import Settings
from streams.wire import encode

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


def line(event: object, key: str | None = None, topic: str | None = None) -> bytes:
    topics = {
        CandidateList: "candidates", ControlRequest: "requests", Control: "controls", ItemUpsert: "items",
        type(None): "items",
    }  # fmt: skip
    return encode({"topic": topic or topics[type(event)], "value": event, "key": key})


class Done(NamedTuple):
    """What a replay left."""

    rankings: list[bytes]
    events: dict[str, int]
    degraded: dict[str, int]
    bad: list[BadLine]

    @property
    def reasons(self) -> dict[str, int]:
        return dict(Counter(line.reason for line in self.bad))


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
