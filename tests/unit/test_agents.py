"""How `rank_feed` takes a run apart and puts the answers together; the rest is in tests/integration."""

import asyncio
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import count, repeat
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry

from monitoring.define import PREFIX
from monitoring.metrics import Metrics
from ranker.embed import RequestEmbedder
from ranker.events import CandidateList, ControlRequest, ItemUpsert
from ranker.familiarity import Familiarity
from ranker.rank import TOGETHER, rank, rank_run
from ranker.run import Asked, Steering
from streams import agents
from streams.agents import Agents, Handled
from streams.budgets import BURST
from streams.outbox import Output
from streams.settings import Settings
from streams.transport import Part, Run
from streams.views import Controls
from streams.wire import decode_ranking, encode
from tests.smallbundle import SmallBundle

SETTINGS = Settings()
RANKINGS, DEAD = SETTINGS.topic("rankings"), SETTINGS.topic("dead-letters")


def record(value: bytes, key: bytes = b"u", offset: int = 7) -> Any:
    return SimpleNamespace(
        topic="t", partition=0, offset=offset, timestamp=5000, timestamp_type=0, key=key, value=value, headers=()
    )


def a_list(number: int, **fields: Any) -> CandidateList:
    ids = [f"i{(number + n) % 50}" for n in range(20)]
    event: dict[str, Any] = {"user_id": f"u{number % 2}", "item_ids": ids, "base_scores": [float(n) for n in range(20)]}
    return CandidateList(event_id=f"e{number}", created_at=100.0, **event | fields)


class Bench:
    """Agents over a small bundle; u0 has a control and u1 has none."""

    def __init__(self) -> None:
        self.registry, self.bundle = CollectorRegistry(), SmallBundle()
        self.model, embedder = self.bundle.model(0.8), RequestEmbedder(self.bundle)
        self.control = embedder.control(
            ControlRequest(event_id="r0", user_id="u0", op="set", created_at=1.0, text="no horror")
        )
        self._controls = Controls(embedder, self.model.bundle, None)  # type: ignore[arg-type]
        self._metrics, self._embedder = Metrics(self.registry), embedder

    def outputs(self, values: list[bytes], offsets: Iterable[int] = repeat(7)) -> list[Output]:
        async def handle() -> list[Output]:
            self._controls.apply([record(encode(self.control), b"u0")])
            with ThreadPoolExecutor(1) as towers:
                handlers = Agents(SETTINGS, self.model, self._embedder, self._controls, towers, self._metrics)
                records = [record(value, offset=offset) for value, offset in zip(values, offsets, strict=False)]
                handled = await handlers.rank_feed(Run([Part(TP("t", 0), records, 0)], 0))
            handled.confirmed(0.001)
            return handled.outputs

        return asyncio.run(handle())

    def handle(self, agent: str, values: list[bytes], settings: Settings = SETTINGS) -> list[Output]:
        async def handle() -> list[Output]:
            with ThreadPoolExecutor(1) as towers:
                handlers = Agents(settings, self.model, self._embedder, self._controls, towers, self._metrics)
                run = Run([Part(TP("t", 0), [record(value) for value in values], 0)], 0)
                handled: Handled = await getattr(handlers, agent)(run)
            return handled.outputs

        return asyncio.run(handle())

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(PREFIX + name, labels)

    def alone(self, event: CandidateList) -> bytes:
        """What `rank` answers."""
        steering = Steering.of(self.control) if event.user_id == "u0" else None
        if event.request is not None:
            vector = self._embedder.quantized(event.request, None)
            steering = Steering(event.event_id, self.model.bundle, vector.floats(), vector.scale, None, None)
        return encode(rank(event, steering, self.model))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_run_is_answered_in_order_and_list_by_list(bench: Bench) -> None:
    events = [a_list(number, request="surprise me" if number % 5 == 0 else None) for number in range(TOGETHER * 2 + 5)]
    outputs = bench.outputs(list(map(encode, events)))
    assert [output.value for output in outputs] == list(map(bench.alone, events))
    assert {output.topic for output in outputs} == {RANKINGS}
    assert bench.value("rankings_total", outcome="controlled") == sum(
        e.user_id == "u0" or bool(e.request) for e in events
    )
    assert bench.value("candidates_per_list_count") == len(events)
    for stage in ("decode", "control", "fuse", "encode", "emit"):
        assert bench.value("stage_duration_seconds_count", stage=stage) == len(events)


def test_what_is_bad_keeps_to_itself(bench: Bench) -> None:
    events = [a_list(number) for number in range(9)]
    values = list(map(encode, events))
    values[2], values[5] = b"{", encode(a_list(5, item_ids=["i0"] * 20))
    values[7] = encode(a_list(7, request=" "))
    outputs = bench.outputs(values)
    topics = [output.topic for output in outputs]
    assert topics == [DEAD if number in (2, 5, 7) else RANKINGS for number in range(9)]
    assert [outputs[n].value for n in (0, 8)] == [bench.alone(events[n]) for n in (0, 8)]
    assert bench.value("rankings_total", outcome="refused") == 3
    assert bench.value("rankings_total", outcome="error") == 0
    assert bench.value("dead_letters_total", reason="malformed") == 1


def test_a_bug_takes_one_list_with_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def trips(run: list[Asked], *arguments: Any, **options: Any) -> Any:
        if any(asked.candidates.event_id == "e3" for asked in run):
            raise ZeroDivisionError
        return rank_run(run, *arguments, **options)

    monkeypatch.setattr(agents, "rank_run", trips)
    events = [a_list(number) for number in range(6)]
    with caplog.at_level(logging.ERROR):
        outputs = bench.outputs(list(map(encode, events)))
    assert [output.topic for output in outputs] == [DEAD if number == 3 else RANKINGS for number in range(6)]
    assert [outputs[n].value for n in (2, 4)] == [bench.alone(events[n]) for n in (2, 4)]
    assert bench.value("dead_letters_total", reason="bug") == 1
    assert bench.value("rankings_total", outcome="error") == 1
    assert bench.value("rankings_total", outcome="refused") == 0
    assert len(caplog.records) == 1


def test_lists_with_new_requests_have_a_budget(bench: Bench) -> None:
    """As large as of requests; beyond it they are ranked without. What the tower has read before costs nothing."""
    most = round(SETTINGS.user_request_rate * BURST)
    events = [a_list(number, request=f"ghosts {number}") for number in range(most + 3)]
    known = [a_list(number, request="ghosts 0") for number in range(most + 3, most + 6)]
    outputs = bench.outputs(list(map(encode, [*events, *known])), count(7))
    degraded = [decode_ranking(output.value or b"").degraded for output in outputs]
    assert degraded == [None] * most + ["rate"] * 3 + [None] * 3


def test_a_list_s_own_request_counts_once_a_text(bench: Bench) -> None:
    bench.bundle.familiarity = lambda _text, _vector: Familiarity(0.01, (0.5, 0.5, 0.5))
    bench.outputs([encode(a_list(number, request=f"ghosts {number % 2}")) for number in range(6)])
    assert bench.value("control_requests_total", op="set", ood="1") == 2
    assert bench.value("request_ood_pvalue_ratio_count") == 2


def test_no_more_late_items_than_there_is_room_for(bench: Bench) -> None:
    """What is late already can change, and what is as the bundle has it needs no room."""
    items, bundle = bench.model.items, bench.bundle
    embedder = RequestEmbedder(bundle)

    def event(item_id: str, text: str) -> bytes:
        return encode(ItemUpsert(item_id=item_id, text=text))

    items.put("i7", embedder.quantized_item("another text"))
    items.put("late", embedder.quantized_item("a film"))
    assert items.late == 2
    outputs = bench.handle(
        "index_items",
        [
            event("late", "another film"),
            event("new", "a film"),
            event("i8", "another text"),
            event("i7", "a film"),
            event("i9", "i9"),
        ],
        Settings(late_items=2),
    )
    assert [output.topic == DEAD for output in outputs] == [False, True, True, False, False]
    headers = dict(outputs[1].headers)
    assert headers["ctrlrec.error.class"] == b"too_large"
    assert b"CTRLREC_LATE_ITEMS is 2" in headers["ctrlrec.error.message"]
    items.remove("late")
    outputs = bench.handle("index_items", [event("new", "a film")], Settings(late_items=2))
    assert outputs[0].topic != DEAD


def test_events_are_as_old_as_they_came_and_dead_ones_are_not_consumed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records are of second 5 and come at 9; the towers take long."""
    now = [9.0]
    monkeypatch.setattr(agents, "time", lambda: now[0])
    embed = bench.bundle.item_tower.embed

    def slow(text: str) -> Any:
        now[0] += 1000
        return embed(text)

    monkeypatch.setattr(bench.bundle.item_tower, "embed", slow)
    monkeypatch.setattr(bench.bundle.request_tower, "embed", slow)
    bench.handle("index_items", [encode(ItemUpsert(item_id="new", text="a film")), b"{"])
    assert bench.value("event_age_seconds_count", topic="items") == 1
    assert bench.value("event_age_seconds_sum", topic="items") == 4
    now[0] = 9.0
    asked = ControlRequest(event_id="r", user_id="u", op="set", created_at=5.0, text="trains")
    bench.handle("embed_requests", [encode(asked)])
    assert bench.value("event_age_seconds_sum", topic="requests") == 4
