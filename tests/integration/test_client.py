import math
import time
from collections.abc import Iterator

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from ranker.errors import BadEvent, BrokerError
from ranker.events import MAX_TEXT, Ranking
from streams.client import Client
from streams.kafka import kafka_python_connection
from streams.settings import Settings
from streams.topics import ensure_topics
from streams.wire import decode_candidates, decode_item, decode_request, encode


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    ensure_topics(settings)
    with Client(settings) as client:
        yield client


@pytest.fixture
def worker(settings: Settings, client: Client) -> Iterator[KafkaProducer]:
    """Publishes rankings in a worker's place."""
    producer = KafkaProducer(**kafka_python_connection(settings), acks="all", linger_ms=5)
    yield producer
    producer.close(timeout=5)


def publish(worker: KafkaProducer, settings: Settings, *event_ids: str) -> None:
    for event_id in event_ids:
        ranking = Ranking(
            event_id=event_id, user_id="u", item_ids=["a"], created_at=1.0, bundle="b", request_id=None, weight=0.0,
            degraded=None, unknown_items=0, adherence=None,
        )  # fmt: skip
        worker.send(settings.topic("rankings"), encode(ranking), key=b"u")
    worker.flush()


def records(settings: Settings, topic: str, count: int) -> list[tuple[bytes, bytes | None, int]]:
    """Key, value and partition of the first `count` records, the partitions one after the other."""
    consumer = KafkaConsumer(**kafka_python_connection(settings), group_id=None, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(settings.topic(topic), partition) for partition in range(settings.partitions)])
    found: list[tuple[bytes, bytes | None, int]] = []
    deadline = time.monotonic() + 10
    while len(found) < count and time.monotonic() < deadline:
        for batch in consumer.poll(timeout_ms=100).values():
            found += [(record.key, record.value, record.partition) for record in batch]
    consumer.close()
    return found


def test_requests_are_there_when_the_call_returns(client: Client) -> None:
    first = client.set_request("42", "no horror", context="likes noir", weight=0.7, expires_at=9e9)
    second = client.clear_request("42", event_id="mine")
    (key, value, partition), (_, cleared, same_partition) = records(client.settings, "requests", 2)
    request = decode_request(value)
    assert key == b"42"
    assert partition == same_partition
    assert (request.event_id, request.op, request.text) == (first, "set", "no horror")
    assert (request.context, request.weight, request.expires_at) == ("likes noir", 0.7, 9e9)
    assert time.time() - 60 < request.created_at <= time.time()
    assert (second, decode_request(cleared).op) == ("mine", "clear")


def test_lists_and_requests_of_a_user_share_a_partition(client: Client) -> None:
    users = [f"user {n}" for n in range(20)]
    for user in users:
        client.set_request(user, "x")
        client.publish_candidates(user, ["a", "b"], [1, 0.5], request="y", weight=0.2, top_k=1, explain=True)
    client.flush()
    asked = {key: partition for key, _, partition in records(client.settings, "requests", 20)}
    listed = records(client.settings, "candidates", 20)
    assert {key: partition for key, _, partition in listed} == asked
    assert set(asked.values()) == {0, 1}
    event = decode_candidates(listed[0][1])
    assert (event.item_ids, event.base_scores) == (["a", "b"], [1.0, 0.5])
    assert (event.request, event.weight, event.top_k, event.explain) == ("y", 0.2, 1, True)


def test_items_and_their_deletion(client: Client) -> None:
    client.publish_item("m1", "A documentary")
    client.delete_item("m1")
    (key, value, _), (same_key, nothing, _) = records(client.settings, "items", 2)
    assert (key, same_key, nothing) == (b"m1", b"m1", None)
    assert decode_item(value).text == "A documentary"


def test_what_a_worker_would_refuse_is_refused_here(client: Client) -> None:
    with pytest.raises(BadEvent, match="text"):
        client.set_request("u", "x" * (MAX_TEXT + 1))
    with pytest.raises(BadEvent, match="weight"):
        client.set_request("u", "x", weight=1.5)
    with pytest.raises(BadEvent, match="user_id"):
        client.clear_request("")
    with pytest.raises(BadEvent, match="base_scores"):
        client.publish_candidates("u", ["a"], [math.nan])
    with pytest.raises(BadEvent, match="2 item_ids but 1 base_scores"):
        client.publish_candidates("u", ["a", "b"], [1.0])
    assert records(client.settings, "requests", 0) == []


def test_rankings_come_once_each_from_the_time_of_the_call(
    client: Client, worker: KafkaProducer, settings: Settings
) -> None:
    publish(worker, settings, "old")
    rankings = client.rankings(timeout=2)
    publish(worker, settings, "a", "b", "a", "c", "b")
    assert [ranking.event_id for ranking in rankings if ranking.event_id != "old"] == ["a", "b", "c"]
    assert [ranking.event_id for ranking in client.rankings(timeout=2, start="earliest")] == ["old", "a", "b", "c"]


def test_none_that_comes_after_the_call_is_missed_after_batches(
    client: Client, worker: KafkaProducer, settings: Settings
) -> None:
    """Where a topic ends is what the embedded broker gets wrong after batches."""
    publish(worker, settings, *(f"old {n}" for n in range(500)))
    rankings = client.rankings(timeout=2)
    new = [f"new {n}" for n in range(500)]
    publish(worker, settings, *new)
    assert [ranking.event_id for ranking in rankings if ranking.event_id.startswith("new")] == new


def test_waiting_for_certain_lists_ends_with_the_last_of_them(
    client: Client, worker: KafkaProducer, settings: Settings
) -> None:
    rankings = client.rankings(timeout=30, of={"b", "d"})
    publish(worker, settings, "a", "b", "c", "b", "d", "e")
    began = time.monotonic()
    assert [ranking.event_id for ranking in rankings] == ["b", "d"]
    assert time.monotonic() - began < 15


def test_waiting_ends_after_the_timeout_and_when_it_is_closed(client: Client) -> None:
    began = time.monotonic()
    rankings = client.rankings(timeout=0.3)
    assert list(rankings) == []
    assert 0.3 <= time.monotonic() - began < 10
    rankings = client.rankings()
    rankings.close()
    rankings.close()
    assert list(rankings) == []


def test_what_is_no_ranking_is_passed_over(
    client: Client, worker: KafkaProducer, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    rankings = client.rankings(timeout=2)
    worker.send(settings.topic("rankings"), b"secret canary", key=b"u")
    publish(worker, settings, "a")
    assert [ranking.event_id for ranking in rankings] == ["a"]
    assert f"{settings.topic('rankings')}[" in caplog.text
    assert "is no ranking" in caplog.text
    assert "canary" not in caplog.text


def test_topics_that_are_missing_are_named(settings: Settings) -> None:
    with Client(settings) as client, pytest.raises(BrokerError, match=r"no topic .*rankings; `ctrlrec topics`"):
        client.rankings()


def test_no_broker_is_an_error_at_once() -> None:
    with pytest.raises(BrokerError, match="cannot connect to Kafka"):
        Client(Settings(kafka_bootstrap="127.0.0.1:1"))
