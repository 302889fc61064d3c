"""Dead letters as they are read, whoever wrote them, and the options that choose among them."""

import hashlib
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.errors import BadEvent, ConfigError
from streams.deadletters import KEPT_BYTES, PREFIX, REDRIVEN, dead_letter
from streams.lettercommands import _milliseconds, _range, _wanted
from streams.letters import Wanted, read
from streams.receipts import Receipt, Receipts, receipts
from streams.redrive import reason_to_leave
from streams.settings import Settings

SETTINGS = Settings()
THERE = {"requests": {0}, "candidates": {0, 3}, "items": {0}}


def lying(original: Any, reason: str = "schema") -> Any:
    """The record that `original`'s dead letter becomes."""
    output = dead_letter("feed.dead-letters", original, BadEvent(reason, "why"), "b1")
    return SimpleNamespace(
        topic=output.topic, partition=output.partition, offset=7, timestamp=5000, key=output.key, value=output.value,
        headers=list(output.headers),
    )  # fmt: skip


def original(value: bytes | None = b"v", headers: Any = (), topic: str = "feed.candidates") -> Any:
    return SimpleNamespace(topic=topic, partition=3, offset=9, timestamp=1234, key=b"k", value=value, headers=headers)


def test_a_letter_says_where_it_came_from() -> None:
    letter = read(SETTINGS, lying(original()))
    assert (letter.place, letter.time, letter.reason, letter.message) == ("3@7", 5000, "schema", "why")
    assert (letter.topic, letter.source, letter.source_partition) == ("candidates", "feed.candidates[3]@9", 3)
    assert (letter.attempt, letter.cut, letter.size) == (1, "", 2)
    assert reason_to_leave(letter, 3, THERE) == ""
    assert "not there" in reason_to_leave(letter, 3, THERE | {"candidates": {0}})


def test_a_sender_cannot_say_where_it_came_from() -> None:
    forged = [(PREFIX + "topic", b"feed.controls"), (PREFIX + "partition", b"0"), (PREFIX + "attempt", b"-9")]
    assert read(SETTINGS, lying(original(headers=tuple(forged)))).source == "feed.candidates[3]@9"


@pytest.mark.parametrize("topic", ["feed.controls", "feed.rankings", "candidates", "feed.", "", "feed.feed.items"])
def test_nothing_is_sent_back_to_other_topics(topic: str) -> None:
    letter = read(SETTINGS, lying(original(topic=topic)))
    assert letter.topic is None
    assert "do not say where" in reason_to_leave(letter, 3, THERE)


def test_the_cap() -> None:
    letter = read(SETTINGS, lying(original(headers=((REDRIVEN, b"3"),))))
    assert letter.attempt == 4
    assert reason_to_leave(letter, 3, THERE) == "sent back 3 times already"
    assert reason_to_leave(letter, 4, THERE) == ""


def test_what_was_cut_is_left_also_where_the_letter_does_not_say_so() -> None:
    record = lying(original(b"v" * (KEPT_BYTES + 1)))
    assert read(SETTINGS, record).cut == "value"
    record.headers = [(name, value) for name, value in record.headers if name != PREFIX + "cut"]
    assert hashlib.sha256(record.value).hexdigest() not in str(record.headers)
    assert read(SETTINGS, record).cut == "value"
    assert "whole" in reason_to_leave(read(SETTINGS, record), 3, THERE)


@given(st.lists(st.tuples(st.sampled_from(["topic", "partition", "offset", "class", "attempt", "cut"]), st.binary())))
def test_any_headers_can_be_read(headers: list[tuple[str, bytes]]) -> None:
    record = lying(original())
    record.headers = [(PREFIX + name, value) for name, value in headers]
    letter = read(SETTINGS, record)
    assert letter.attempt >= 1
    assert letter.topic is None or letter.source_partition >= 0


def test_filters() -> None:
    letter = read(SETTINGS, lying(original()))
    yes = [Wanted(), Wanted(reasons=["schema", "bug"]), Wanted(topics=["candidates"]), Wanted(since=5000),
           Wanted(until=5001), Wanted(partition=3, first=7, last=7), Wanted(partition=3, first=0)]  # fmt: skip
    no = [Wanted(reasons=["bug"]), Wanted(topics=["items"]), Wanted(since=5001), Wanted(until=5000),
          Wanted(partition=0), Wanted(partition=3, first=8), Wanted(partition=3, first=0, last=6)]  # fmt: skip
    assert [letter in wanted for wanted in yes] == [True] * len(yes)
    assert [letter in wanted for wanted in no] == [False] * len(no)


def test_options() -> None:
    assert (_range("0@17"), _range("1@17-99"), _range("1@17-")) == ((0, 17, 17), (1, 17, 99), (1, 17, None))
    assert _milliseconds("--since", "1970-01-01T00:01") == _milliseconds("--since", "1970-01-01T01:01+01:00") == 60_000
    now = datetime.now(UTC).timestamp() * 1000
    assert _milliseconds("--since", "2h") == pytest.approx(now - 7_200_000, abs=60_000)
    for wrong in ("", "17", "0@", "@1", "0@1-2-3", "0@9-x", "-1@0"):
        with pytest.raises(ConfigError, match="no place such as 0@17"):
            _range(wrong)
    for wrong in ("", "h", "yesterday", "1e99d", "2026-13-01"):
        with pytest.raises(ConfigError, match=r"--until: .* is no time such as"):
            _milliseconds("--until", wrong)
    with pytest.raises(ConfigError, match="--class: 'tired' is none of malformed"):
        _wanted(reasons=["bug", "tired"])
    with pytest.raises(ConfigError, match="--topic: 'controls' is none of requests"):
        _wanted(topics=["controls"])


def test_a_receipt_is_of_one_letter_and_not_of_another_at_its_place() -> None:
    letter = read(SETTINGS, lying(original()))
    ((partition, raw),) = receipts([letter, letter._replace(offset=8)]).items()
    assert (partition, raw) == (3, b'{"offsets":[7,8],"times":[5000,5000]}')
    assert Receipt([7], [5000]) == Receipt(offsets=[7], times=[5000])
    done = Receipts({3: {7: 5000}})
    assert letter in done
    assert letter._replace(time=5001) not in done
    assert letter._replace(partition=0) not in done
