"""The producer here fails on purpose; that a real one delivers is for the tests of live workers."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, RequestTimedOutError
from aiokafka.producer.message_accumulator import BatchBuilder

from streams import outbox as module
from streams.outbox import Outbox, Output


class FailingProducer:
    """Refuses the first `failures` batches, some at once and some when they are waited for; keeps what it confirms."""

    def __init__(self, failures: int) -> None:
        self.failures, self.calls = failures, 0
        self.confirmed: list[tuple[str, int, int]] = []

    def create_batch(self) -> Any:
        return BatchBuilder(500, 0, is_transactional=False, key_serializer=None, value_serializer=None)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> "asyncio.Future[None]":
        self.calls += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.calls <= self.failures:
            if self.calls % 2:
                raise KafkaConnectionError
            future.set_exception(RequestTimedOutError())
        else:
            self.confirmed.append((topic, partition, batch.record_count()))
            future.set_result(None)
        return future


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.001)


def sent(outputs: list[Output], failures: int = 0, *, single: bool = False) -> list[tuple[str, int, int]]:
    outbox, producer = Outbox({}), FailingProducer(failures)
    outbox._producer = producer
    asyncio.run(asyncio.wait_for(outbox.send(outputs, single=single), 20))
    return producer.confirmed


@pytest.mark.parametrize("failures", [0, 1, 2, 5])
def test_it_sends_until_all_is_confirmed(failures: int, caplog: pytest.LogCaptureFixture) -> None:
    outputs = [Output("a", 0, b"k", b"v"), Output("b", 1, None, b"v"), Output("a", 0, b"k", None)]
    confirmed = sent(outputs, failures)
    assert sorted(confirmed) == [("a", 0, 2), ("b", 1, 1)]
    assert len(caplog.records) == failures
    assert all("failed and is tried again in" in record.message for record in caplog.records)


def test_nothing_to_send() -> None:
    assert sent([]) == []


def test_full_batches_are_followed_by_others() -> None:
    confirmed = sent([Output("a", 0, None, b"x" * 200) for _ in range(5)])
    assert len(confirmed) == 3
    assert sum(count for _, _, count in confirmed) == 5


def test_an_output_larger_than_a_batch_is_not_left_out() -> None:
    big, small = Output("a", 0, None, b"x" * 2000), Output("a", 0, None, b"x")
    assert sum(count for _, _, count in sent([small, big, small, big])) == 4


def test_single_records() -> None:
    assert sent([Output("a", 0, None, b"x")] * 3, single=True) == [("a", 0, 1)] * 3


def test_a_bug_is_not_tried_again() -> None:
    with pytest.raises(TypeError):
        sent([Output("a", 0, "no bytes", b"x")])  # type: ignore[arg-type]
