import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.errors import BadEvent
from ranker.events import MAX_CANDIDATES, MAX_TEXT, Adherence, CandidateList, ControlRequest, Explanation, Ranking
from streams.wire import decode_candidates, decode_item, decode_ranking, decode_request, encode

ids = st.text(min_size=1, max_size=128).filter(lambda text: text.isprintable())
numbers = st.floats(allow_nan=False, allow_infinity=False)
weights = st.none() | st.floats(0, 1)
texts = st.none() | st.text(min_size=1, max_size=200)

requests = st.builds(
    ControlRequest, event_id=ids, user_id=ids, op=st.sampled_from(["set", "clear"]), created_at=numbers, text=texts,
    context=texts, weight=weights, expires_at=st.none() | numbers,
)  # fmt: skip
candidates = st.builds(
    CandidateList, event_id=ids, user_id=ids, item_ids=st.lists(ids, min_size=1),
    base_scores=st.lists(numbers, min_size=1), created_at=numbers, request=texts, context=texts, weight=weights,
    top_k=st.none() | st.integers(1, 100), explain=st.booleans(),
)  # fmt: skip
rankings = st.builds(
    Ranking, event_id=ids, user_id=ids, item_ids=st.lists(ids), created_at=numbers, bundle=st.text(),
    request_id=st.none() | ids, weight=numbers, degraded=st.sampled_from([None, "no_control", "control_expired"]),
    unknown_items=st.integers(0, 100),
    adherence=st.none() | st.builds(Adherence, numbers, numbers, numbers, numbers, numbers),
    explain=st.none() | st.builds(Explanation, st.lists(st.integers(0, 9)), st.none() | st.lists(st.integers(0, 9))),
)  # fmt: skip


@given(requests)
def test_requests_come_back_as_they_went(event: ControlRequest) -> None:
    assert decode_request(encode(event)) == event


@given(candidates)
def test_candidate_lists_come_back_as_they_went(event: CandidateList) -> None:
    assert decode_candidates(encode(event)) == event


@given(rankings)
def test_rankings_come_back_as_they_went_in_the_same_bytes(event: Ranking) -> None:
    assert decode_ranking(encode(event)) == event
    assert encode(decode_ranking(encode(event))) == encode(event)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_event_or_a_named_refusal(raw: bytes) -> None:
    for decode in (decode_request, decode_candidates, decode_item):
        reason = "schema"
        try:
            decode(raw)
        except BadEvent as error:
            reason = error.reason
        assert reason in ("malformed", "schema")


def changed(event: dict[str, object], **changes: object) -> bytes:
    return json.dumps({**event, **changes}).encode()


LIST: dict[str, object] = {
    "event_id": "e", "user_id": "u", "item_ids": ["a", "b"], "base_scores": [2, 1.5], "created_at": 1.0,
}  # fmt: skip
REQUEST: dict[str, object] = {"event_id": "e", "user_id": "u", "op": "set", "text": "no horror", "created_at": 1}


def test_unknown_fields_are_ignored() -> None:
    assert decode_candidates(changed(LIST, shiny={"new": [1]})).base_scores == [2.0, 1.5]
    assert decode_request(changed(REQUEST, shiny=None)).text == "no horror"


@pytest.mark.parametrize(
    ("raw", "reason", "about"),
    [
        (None, "malformed", "no value"),
        (b"", "malformed", "truncated"),
        (b"{", "malformed", "truncated"),
        (b"\xff\xfe", "malformed", ""),
        (b'{"event_id": "\xc3\x28"}', "malformed", ""),
        (b'{"x":' + b"[" * 100_000, "malformed", "deep"),
        (b"null", "schema", "null"),
        (b"[]", "schema", "array"),
        (b"NaN", "malformed", ""),
        (changed(LIST, item_ids=[]), "schema", "item_ids"),
        (changed(LIST, item_ids=[1, 2]), "schema", "item_ids"),
        (changed(LIST, item_ids=["a" * 129, "b"]), "schema", "item_ids"),
        (changed(LIST, item_ids=["a"] * (MAX_CANDIDATES + 1)), "schema", "item_ids"),
        (changed(LIST, base_scores=[1.0, None]), "schema", "base_scores"),
        (changed(LIST, base_scores=["1", "2"]), "schema", "base_scores"),
        (changed(LIST, weight=1.01), "schema", "weight"),
        (changed(LIST, top_k=0), "schema", "top_k"),
        (changed(LIST, user_id=""), "schema", "user_id"),
        (changed(LIST, request=""), "schema", "request"),
        (changed(LIST, request="x" * (MAX_TEXT + 1)), "schema", "request"),
        (b'{"event_id":"e","user_id":"u","item_ids":["a"],"base_scores":[NaN],"created_at":1}', "malformed", ""),
        (b'{"event_id":"e","user_id":"u","item_ids":["a"],"base_scores":[1e999],"created_at":1}', "", ""),
        (changed({}, event_id="e"), "schema", "user_id"),
    ],
)
def test_bad_candidate_lists_are_refused_and_say_why(raw: bytes | None, reason: str, about: str) -> None:
    with pytest.raises(BadEvent) as refused:
        decode_candidates(raw)
    assert reason in refused.value.reason
    assert about in str(refused.value)


@pytest.mark.parametrize(
    ("decode", "raw"),
    [
        (decode_request, changed(REQUEST, text="secret-canary" * 1000)),
        (decode_request, changed(REQUEST, op="secret-canary")),
        (decode_item, b'{"item_id": ["secret-canary"], "text": "x"}'),
    ],
)
def test_a_refusal_never_repeats_what_the_user_wrote(decode: Callable[[bytes], object], raw: bytes) -> None:
    with pytest.raises(BadEvent) as refused:
        decode(raw)
    assert "secret-canary" not in str(refused.value)
