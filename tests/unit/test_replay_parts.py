"""What a replay has in hand: the parts that it writes, and events that no bundle looks at."""

from pathlib import Path
from typing import Any

import pytest

from ranker.errors import BadEvent
from streams.replay import onepass, parts
from streams.replay.job import replay
from streams.replay.log import Entry
from streams.replay.plan import planned
from streams.replay.sources import open_source
from streams.replay.state import State
from streams.wire import encode
from tests.unit.small_log import a_list, job_of, mixed, replayed

pytestmark = pytest.mark.usefixtures("small_bundles")


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_rankings_are_written_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: Any) -> None:
    lines = replayed(tmp_path, mixed(), weights=[0.3]).rankings
    monkeypatch.setattr(parts, "ROW_GROUP", 1)
    monkeypatch.setattr(onepass.Way.__new__, "__defaults__", (False, False, 1000, 1, 100_000))
    sizes, add = list[int](), parts.Columns.add if format_ == "parquet" else parts.JsonLines.add

    def adding(part: Any, batch: Any) -> None:
        add(part, batch)
        sizes.append((tmp_path / "pieces" / "rankings" / name / f"part-00000.{format_}.part").stat().st_size)

    job = job_of(tmp_path / "log.jsonl", tmp_path / "pieces", weights=[0.3], format=format_)
    name = planned(job, open_source(job.log, job.settings)).variants[0].name
    monkeypatch.setattr(parts.Columns if format_ == "parquet" else parts.JsonLines, "add", adding)
    outcome = replay(job)
    assert len(set(sizes)) == len(sizes) == len(lines)
    (part,) = (outcome.layout.part(outcome.plan.variants[0], segment) for segment in outcome.segments)
    assert [encode(ranking) for ranking in parts.read_part(part)] == lines


@pytest.mark.parametrize("value", [{"text": " "}, {}])
def test_a_fleets_state_refuses_what_says_nothing(value: dict[str, str]) -> None:
    state = State([], 1000)
    request = {"event_id": "r", "user_id": "u", "op": "set", "created_at": 1.0}
    with pytest.raises(BadEvent, match=r"blank|no text"):
        state.request(Entry("requests", encode(request | value), 1))
    with pytest.raises(BadEvent, match="blank"):
        state.item(Entry("items", encode({"item_id": "i", "text": " "}), 1))
    with pytest.raises(BadEvent, match="blank"):
        state.asked(a_list("e", request=" "), 0)
