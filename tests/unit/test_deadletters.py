import hashlib
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.errors import BadEvent
from streams.deadletters import KEPT_BYTES, KEPT_KEY, REDRIVEN, dead_letter

REASON = BadEvent("schema", "wrong - at `$.field`")


def record(value: bytes | None = b"v", key: bytes | None = b"k", headers: Any = ()) -> Any:
    return SimpleNamespace(topic="t", partition=3, offset=9, timestamp=1234, key=key, value=value, headers=headers)


def test_it_says_where_from_and_why() -> None:
    letter = dead_letter("dead", record(headers=(("trace", b"7"),)), REASON, "b1")
    assert (letter.topic, letter.partition, letter.key, letter.value, letter.timestamp) == ("dead", 3, b"k", b"v", None)
    headers = dict(letter.headers)
    assert headers.pop("trace") == b"7"
    assert {name.removeprefix("ctrlrec.error."): value.decode() for name, value in headers.items()} == {
        "topic": "t",
        "partition": "3",
        "offset": "9",
        "timestamp": "1234",
        "class": "schema",
        "message": "wrong - at `$.field`",
        "attempt": "1",
        "app-version": "0.1.0",
        "bundle": "b1",
        "payload-sha256": hashlib.sha256(b"v").hexdigest(),
    }


def test_attempts_are_counted() -> None:
    first = dead_letter("dead", record(), REASON, "b1")
    second = dead_letter("dead", record(headers=tuple(first.headers)), REASON, "b1")
    attempts = [value for name, value in second.headers if name == "ctrlrec.error.attempt"]
    assert attempts == [b"1", b"2"]


def test_what_was_sent_back_counts_as_an_attempt() -> None:
    def attempt(*said: bytes) -> bytes:
        headers = tuple((REDRIVEN, value) for value in said)
        return dict(dead_letter("dead", record(headers=headers), REASON, "b1").headers)["ctrlrec.error.attempt"]

    assert attempt() == b"1"
    assert attempt(b"2") == b"3"
    assert attempt(b"1", b"3") == b"4"
    assert attempt(b"often") == attempt(b"-7") == attempt(b"") == attempt(b"9" * 5000) == b"1"
    assert dead_letter("dead", record(headers=((REDRIVEN, None),)), REASON, "b1").key == b"k"


def test_what_was_cut_is_said() -> None:
    def cut(**parts: Any) -> bytes | None:
        return dict(dead_letter("dead", record(**parts), REASON, "b1").headers).get("ctrlrec.error.cut")

    assert cut() is cut(value=b"v" * KEPT_BYTES, key=b"k" * KEPT_KEY) is None
    assert cut(value=b"v" * (KEPT_BYTES + 1)) == b"value"
    assert cut(key=b"k" * (KEPT_KEY + 1), headers=(("h", b"x" * 200_000),)) == b"key headers"
    assert cut(headers=(("", None),) * 30_000) == b"headers"  # of nothing but lengths


@settings(max_examples=40)
@given(
    st.one_of(st.none(), st.integers(0, 1_500_000)),
    st.one_of(st.none(), st.integers(0, 1_500_000)),
    st.lists(st.integers(0, 200_000), max_size=4),
)
def test_it_always_fits_and_is_a_record(value: int | None, key: int | None, headers: list[int]) -> None:
    original = record(
        value if value is None else b"v" * value,
        key if key is None else b"k" * key,
        tuple(("h", b"x" * size) for size in headers),
    )
    letter = dead_letter("dead", original, REASON, "b1")
    assert letter.key is not None or letter.value is not None
    assert letter.key == (original.key and original.key[:KEPT_KEY])
    assert letter.value == (original.value and original.value[:KEPT_BYTES]) or original.key is original.value is None
    kept = sum(len(text) for _, text in letter.headers)
    assert len(letter.value or b"") + len(letter.key or b"") + kept < 700_000
    digest = dict(letter.headers)["ctrlrec.error.payload-sha256"].decode()
    assert digest == hashlib.sha256(original.value or b"").hexdigest()
