"""Ten thousand events of all kinds, one in a hundred of them bad: each is answered, once, and each bad one says why."""

import hashlib
import json
import random
import time
from typing import Any, NamedTuple

import pytest

from streams.wire import decode_control, decode_item_vector, decode_ranking
from tests.events import CANARY, Bad, bad_events, odd_lists
from tests.live import ITEMS, SCORES, TIMEOUT, Live, Place, candidates, error_headers, new_id, request

EVENTS, BAD, REQUESTS, UPSERTS, DELETIONS = 10_000, 100, 600, 250, 50
SENT_AT = 1_700_000_000_000
"""Milliseconds; of every bad event."""


class Inputs(NamedTuple):
    """What was published."""

    lists: dict[str, Any]
    requests: dict[str, Any]
    cleared: list[str]
    items: list[str]
    deleted: list[str]
    bad: dict[Place, Bad]
    others: frozenset[Place]
    """Where dead letters of other tests came from, which share the worker."""

    def missing(self, live: Live) -> list[object]:
        """What has no outcome yet."""
        controls = {decode_control(record.value).request_id for record in live.outputs.controls if record.value}
        cleared = {record.key.decode() for record in live.outputs.controls if record.value is None}
        items = {decode_item_vector(record.value).item_id for record in live.outputs.vectors if record.value}
        deleted = {record.key.decode() for record in live.outputs.vectors if record.value is None}
        return [
            *(self.lists.keys() - live.outputs.rankings.keys()),
            *(self.requests.keys() - controls),
            *(set(self.cleared) - cleared),
            *(set(self.items) - items),
            *(set(self.deleted) - deleted),
            *(self.bad.keys() - live.outputs.dead.keys()),
        ]


def publish_all(live: Live) -> Inputs:
    """In random order, so that good and bad ones meet in one run."""
    rng = random.Random(7)
    odd = odd_lists()
    lists = [o.event for o in odd]
    while len(lists) < EVENTS - BAD - REQUESTS - UPSERTS - DELETIONS:
        n = rng.randrange(5, 50)
        more = {"request": rng.choice(["ghosts", "more drama", "no war"])} if rng.random() < 0.3 else {}
        lists.append(candidates(f"reader {rng.randrange(500)}", item_ids=ITEMS[:n], base_scores=SCORES[:n], **more))
    wishes = [request(new_id(), f"wish {n % 90}" if n % 4 else None) for n in range(REQUESTS)]
    items = [{"item_id": new_id(), "text": f"novel {n}"} for n in range(UPSERTS)]
    deleted = [new_id() for _ in range(DELETIONS)]
    kinds = bad_events()
    bad = [kinds[n % len(kinds)] for n in range(BAD)]
    everything: list[Any] = [
        *(("candidates", event["user_id"], json.dumps(event).encode()) for event in lists),
        *(("requests", event["user_id"], json.dumps(event).encode()) for event in wishes),
        *(("items", event["item_id"], json.dumps(event).encode()) for event in items),
        *(("items", item, None) for item in deleted),
        *bad,
    ]
    rng.shuffle(everything)
    others = frozenset(live.outputs.dead)
    sent = []
    for event in everything:
        if isinstance(event, Bad):
            trace = [("trace", b"7")]
            where = live.send(event.topic, event.value, event.key, headers=trace, timestamp_ms=SENT_AT)
            sent.append((event, where))
        else:
            topic, key, value = event
            live.send(topic, value, key.encode())
    live.producer.flush(timeout=TIMEOUT)
    places = {(m.topic, m.partition, m.offset): event for event, where in sent if (m := where.get(timeout=TIMEOUT))}
    return Inputs(
        {event["event_id"]: event for event in lists},
        {event["event_id"]: event for event in wishes if event["op"] == "set"},
        [event["user_id"] for event in wishes if event["op"] == "clear"],
        [event["item_id"] for event in items],
        deleted,
        places,
        others,
    )


@pytest.fixture(scope="module")
def inputs(live: Live) -> Inputs:
    """Published, and answered as far as they ever will be."""
    began = time.monotonic()
    inputs = publish_all(live)
    rankings, wanted = live.outputs.rankings, inputs.lists.keys()
    live.outputs.until(lambda: len(rankings) >= len(wanted) and wanted <= rankings.keys())
    live.outputs.until(lambda: not inputs.missing(live), 20)
    print(f"{EVENTS} events answered in {time.monotonic() - began:.1f} s")
    return inputs


def test_every_event_has_one_outcome(live: Live, inputs: Inputs) -> None:
    assert inputs.missing(live) == []
    live.outputs.until(lambda: False, 2)  # whatever else may come
    answers = [live.outputs.rankings[event_id] for event_id in inputs.lists]
    assert all(len(set(payloads)) == 1 for payloads in answers)
    repeats = sum(map(len, answers)) - len(answers)
    print(f"inputs {EVENTS}, rankings {len(answers)}, dead letters {len(inputs.bad)}, missing 0, repeats {repeats}")
    assert repeats == 0
    assert [len(live.outputs.dead[place]) for place in inputs.bad] == [1] * BAD
    good = live.outputs.dead.keys() - inputs.bad.keys() - inputs.others
    assert {error_headers(live.outputs.dead[place][0])["message"] for place in good} == set()
    for event_id, event in inputs.lists.items():
        ranking = decode_ranking(live.outputs.rankings[event_id][0])
        assert (ranking.user_id, ranking.created_at) == (event["user_id"], event["created_at"])
        assert len(ranking.item_ids) == min(len(event["item_ids"]), event.get("top_k") or 10_000)
        assert set(ranking.item_ids) <= set(event["item_ids"])


@pytest.mark.parametrize("name", [odd.name for odd in odd_lists()])
def test_odd_lists_are_ranked(live: Live, inputs: Inputs, name: str) -> None:
    odd = next(odd for odd in odd_lists() if odd.name == name)
    fields = odd.event.keys() - {"event_id", "created_at"} | (
        {"created_at"} if "time" in name or "future" in name else set()
    )
    alike = [
        event_id
        for event_id, event in inputs.lists.items()
        if event["user_id"] == odd.event["user_id"]
        and event.keys() == odd.event.keys()
        and all(event[field] == odd.event[field] for field in fields)
    ]
    ranking = decode_ranking(live.outputs.rankings[alike[0]][0])
    assert odd.holds(ranking), ranking


@pytest.mark.parametrize("name", [bad.name for bad in bad_events()])
def test_bad_events_say_why(live: Live, inputs: Inputs, name: str) -> None:
    places = [place for place, bad in inputs.bad.items() if bad.name == name]
    assert len(places) >= BAD // len(bad_events())
    for place in places:
        bad, (letter,) = inputs.bad[place], live.outputs.dead[place]
        about = error_headers(letter)
        assert about["class"] == bad.reason
        assert bad.says in about["message"]
        assert (about["attempt"], about["app-version"]) == ("1", "0.1.0")
        assert about["payload-sha256"] == hashlib.sha256(bad.value or b"").hexdigest()
        assert letter.headers[0] == ("trace", b"7")
        assert about["timestamp"] == str(SENT_AT)
        assert letter.timestamp / 1000 == pytest.approx(time.time(), abs=3600)  # or it would be deleted before its time
        assert letter.partition == place[1]
        if bad.kept:
            assert (letter.key, letter.value) == (bad.key, bad.value)
        else:
            assert letter.key == (bad.key or b"")[:10_000]
            assert letter.value == (bad.value or b"")[:500_000]
        assert CANARY not in str(about)


def test_no_word_of_a_reader_is_logged(live: Live, inputs: Inputs) -> None:
    assert CANARY not in live.worker.log.read_text()
