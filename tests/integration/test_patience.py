"""How long fetches wait, of a real consumer on a clock that the test moves."""

import asyncio
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streams.patience import ENOUGH, SHARE, fetch_patiently, fetch_wait
from streams.settings import Settings
from streams.topics import ensure_topics


@given(st.floats(0, 1e6), st.floats(0.001, 0.1), st.floats(0.1, 1))
def test_the_wait_is_a_share_of_the_idle_time_within_its_bounds(idle: float, shortest: float, longest: float) -> None:
    wait = fetch_wait(idle, shortest, longest)
    assert shortest <= wait <= longest
    assert wait <= max(shortest, idle / SHARE)
    assert fetch_wait(0, shortest, longest) == shortest
    assert fetch_wait(SHARE * longest, shortest, longest) == longest


def test_fetches_wait_long_for_any_while_nothing_comes_and_shortly_for_more_when_something_does(
    settings: Settings,
) -> None:
    """The broker is asked, not the function: what the requests themselves say."""
    ensure_topics(settings)
    asyncio.run(_longer_then_short(settings))


async def _longer_then_short(settings: Settings) -> None:
    topic, now, asked = settings.topic("items"), [0.0], list[tuple[int, int]]()
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    fetch_patiently(consumer, 0.02, 0.1, lambda: now[0])
    send = consumer._client.send

    async def overheard(node: int, request: object, **more: object) -> object:
        if (wait := getattr(request, "_max_wait_ms", None)) is not None:
            asked.append((wait, getattr(request, "_min_bytes", 0)))
        return await send(node, request, **more)

    consumer._client.send = overheard
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await producer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        await _until(lambda: asked[-3:] == [(20, ENOUGH)] * 3)
        for seconds, wait in ((0.03, 20), (0.4, 50), (1e3, 100)):
            now[0] = seconds
            await _until(lambda wait=wait: asked[-3:] == [(wait, 1)] * 3)  # type: ignore[misc]
        await producer.send_and_wait(topic, b"{}", key=b"i", partition=0)
        assert (await consumer.getone()).value == b"{}"
        await consumer.getmany(timeout_ms=200)
        await _until(lambda: asked[-3:] == [(20, ENOUGH)] * 3)
    finally:
        await producer.stop()
        await consumer.stop()


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)
