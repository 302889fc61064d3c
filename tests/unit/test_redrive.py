"""What is remembered when sending back ends in the middle."""

import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from kafka.errors import KafkaTimeoutError

from ranker.errors import BadEvent, BrokerError
from streams import redrive
from streams.deadletters import REDRIVEN, dead_letter
from streams.letters import Letter, read
from streams.receipts import Receipt
from streams.redrive import Plan
from streams.settings import Settings

SETTINGS = Settings()


class Future:
    def __init__(self, error: Exception | None) -> None:
        self._error = error

    def get(self, timeout: float) -> None:
        if self._error:
            raise self._error


class Producer:
    """Remembers what was sent; the broker does not confirm values in `refused`."""

    def __init__(self, *refused: bytes) -> None:
        self.refused, self.sent = refused, list[tuple[str, bytes, Any]]()

    def partitions_for(self, topic: str) -> set[int]:
        return {0}

    def send(self, topic: str, value: bytes, *, partition: int, key: Any = None, headers: Any = ()) -> Future:
        self.sent.append((topic, value, headers))
        return Future(KafkaTimeoutError("no answer") if value in self.refused else None)

    def close(self, timeout: float) -> None: ...


def lying(count: int) -> list[Any]:
    """Records of the dead letters."""
    records = []
    for number in range(count):
        original = SimpleNamespace(
            topic="feed.candidates", partition=0, offset=number, timestamp=0, key=b"u", value=b"%d" % number, headers=()
        )
        letter = dead_letter("feed.dead-letters", original, BadEvent("bug", "KeyError"), "b")
        records.append(
            SimpleNamespace(
                partition=0, offset=number, timestamp=50, key=b"u", value=letter.value, headers=list(letter.headers)
            )
        )
    return records


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> list[Letter]:
    """Seven, in chunks of three."""
    records = lying(7)
    monkeypatch.setattr(redrive, "scan", lambda *_: records)
    monkeypatch.setattr(redrive, "CHUNK", 3)
    return [read(SETTINGS, record) for record in records]


def go(monkeypatch: pytest.MonkeyPatch, producer: Producer, letters: list[Letter], **more: Any) -> int:
    monkeypatch.setattr(redrive, "KafkaProducer", lambda **_: producer)
    return redrive.redrive(SETTINGS, Plan(letters, [], Counter(), 0), **({"rate": 1e6} | more))


def receipts(producer: Producer) -> list[int]:

    found = [msgspec.json.decode(v, type=Receipt) for topic, v, _ in producer.sent if topic == "feed.redriven"]
    assert all(receipt.times == [50] * len(receipt.offsets) for receipt in found)
    return [offset for receipt in found for offset in receipt.offsets]


def test_a_receipt_follows_each_chunk(monkeypatch: pytest.MonkeyPatch, letters: list[Letter]) -> None:
    producer, heard = Producer(), list[int]()
    assert go(monkeypatch, producer, letters, progress=heard.append) == 7
    assert heard == [3, 6, 7]
    assert [topic for topic, _, _ in producer.sent] == [
        *["feed.candidates"] * 3, "feed.redriven", *["feed.candidates"] * 3, "feed.redriven",
        "feed.candidates", "feed.redriven",
    ]  # fmt: skip
    assert receipts(producer) == list(range(7))
    assert producer.sent[0] == ("feed.candidates", b"0", [(REDRIVEN, b"1")])


def test_what_was_not_confirmed_gets_no_receipt(monkeypatch: pytest.MonkeyPatch, letters: list[Letter]) -> None:
    producer = Producer(b"4")
    with pytest.raises(BrokerError, match="no answer; run it again to go on"):
        go(monkeypatch, producer, letters)
    assert receipts(producer) == [0, 1, 2, 3, 5]


def test_only_what_was_chosen_is_sent(monkeypatch: pytest.MonkeyPatch, letters: list[Letter]) -> None:
    producer = Producer()
    assert go(monkeypatch, producer, [letters[1], letters[5]]) == 2
    assert receipts(producer) == [1, 5]


def test_the_rate_is_kept(monkeypatch: pytest.MonkeyPatch, letters: list[Letter]) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    go(monkeypatch, Producer(), letters, rate=2)
    assert slept == [1.0, 2.0, 3.0]
