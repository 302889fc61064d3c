"""A list that is read as columns is what the worker's own decoder reads, and whatever is not plain is left to that decoder."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.errors import BadEvent
from ranker.run import Asked, lay_out
from streams.replay.state import Codes
from streams.replay.unread import Unread, candidates, lay_out_all
from streams.wire import decode_candidates

IDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=6) | st.sampled_from(
    ["i1", "i2", ",", ", ", "[", "]", "item_ids", "a" * 128, "é" * 128, "a" * 129, ""]
)
SCORES = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**25), 10**25)


def raw(ids: Any, scores: Any, spaced: bool, **more: Any) -> bytes:
    event = {"event_id": "e", "user_id": "u", "item_ids": ids, "base_scores": scores, "created_at": 1.0, **more}
    return json.dumps(event, ensure_ascii=False, separators=None if spaced else (",", ":")).encode()


@st.composite
def values(draw: st.DrawFn) -> bytes:
    ids = draw(st.lists(IDS, max_size=6, unique=draw(st.integers(0, 4)) > 0))
    scores = draw(st.lists(SCORES, min_size=len(ids), max_size=len(ids) + (draw(st.integers(0, 9)) == 0)))
    more: dict[str, Any] = draw(st.sampled_from([{}, {}, {}, {"request": "more of it"}, {"top_k": 2}, {"weight": 3}]))
    return raw(ids, scores, draw(st.booleans()), **more)


PLAIN = raw(["a", "b", "ü,"], [1.5, -2, 3e-5], spaced=False)
ODD = [
    raw(["a"], [1], spaced=False).replace(b'["a"]', odd)
    for odd in (
        b'["a",1]', b'[1,"a"]', b'["a",["b"]]', b'["a",{"b":"c"}]', b'{"a":"b"}', b'"a"', b"7", b"null", b"[]", b'[""]',
        b'[ "a"]', b'["a" ]', b'["a\x01"]', b'["\xff"]', b'["\xed\xa0\x80"]', b'["\\u0061"]', b'["a"', b'["a",]',
        b'["a"],"item_ids":["b"]', b'["b"],"item_ids":5', b'["a"],"more":{"item_ids":[1]}', b'["a","a"]',
    )
] + [
    raw(["a"], [1], spaced=False).replace(b":[1]", b":" + odd)
    for odd in (
        b"[]", b"1", b'"1"', b'["1"]', b"null", b"[null]", b"[[1]]", b"[1e400]", b"[NaN]", b"[01]", b"[1,2]", b"[ 1 ]",
        b"[\t1]", b"[-0]", b"[1e-400]", b"[18446744073709551616]", b'[2],"base_scores":[3]', b'[2],"base_scores":[true]',
        b'[{"item_ids":1}]',
    )
]  # fmt: skip


def read(run: list[bytes]) -> tuple[list[str], list[Any]]:
    """Why lists are refused, and what the others hold: the worker's way."""
    return _outcome([(value, decode_candidates) for value in run], None)


def read_as_columns(run: list[bytes]) -> tuple[list[str], list[Any]]:
    return _outcome([(value, candidates) for value in run], run)


def _outcome(run: list[Any], values: list[bytes] | None) -> tuple[list[str], list[Any]]:
    refused: dict[int, str] = {}
    listed, places = [], []
    for place, (value, decode) in enumerate(run):
        try:
            listed.append(Asked(decode(value), None))
            places.append(place)
        except BadEvent as error:
            refused[place] = f"{error.reason}: {error}"
    codes = Codes()
    if not listed:
        return [f"{place} {why}" for place, why in sorted(refused.items())], []
    if values is None:
        flat, wrong = lay_out(listed, codes.of)
    else:
        flat, wrong = lay_out_all(listed, [values[place] for place in places], codes)
    refused |= {places[place]: f"{error.reason}: {error}" for place, error in wrong.items()}
    whys = [f"{place} {why}" for place, why in sorted(refused.items())]
    if flat is None:
        return whys, []
    heads = [(each.candidates.event_id, each.candidates.top_k, each.candidates.weight) for each in flat.run]
    names = np.array(list(codes), object)[flat.numbers].tolist()
    assert names == np.array(flat.ids, object)[flat.base].tolist()
    return whys, [heads, flat.spans.lengths, list(flat.ids), flat.base.tolist(), (flat.scores + 0.0).tolist()]


@given(st.lists(values() | st.sampled_from([*ODD, PLAIN]), min_size=1, max_size=4))
def test_any_run_is_read_as_a_worker_reads_it(run: list[bytes]) -> None:
    assert read_as_columns(run) == read(run)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("beside", [[], [PLAIN]])
def test_what_is_not_plain_is_left_to_the_decoder(odd: bytes, beside: list[bytes]) -> None:
    for run in ([odd, *beside], [*beside, odd]):
        assert read_as_columns(run) == read(run)


@pytest.mark.parametrize("spaced", [False, True])
def test_plain_lists_are_not_decoded_one_by_one(spaced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    run = [raw([f"i{n}", "é"], [n, 0.25], spaced) for n in range(3)]
    expected = read(run)
    monkeypatch.setattr("streams.replay.unread.decode_candidates", None)
    assert all(isinstance(candidates(each), Unread) for each in run)
    assert read_as_columns(run) == expected
