import time

import msgspec
import pytest
from kafka import KafkaAdminClient

from ranker.errors import BrokerError
from streams.kafka import kafka_python_connection
from streams.settings import Settings
from streams.topics import TOPICS, TopicState, ensure_topics


def test_they_are_made_once(settings: Settings) -> None:
    made = ensure_topics(settings)
    assert made == [
        TopicState(settings.topic(name), 2, configuration["cleanup.policy"], True)
        for name, configuration in TOPICS.items()
    ]
    assert ensure_topics(settings) == [state._replace(created=False) for state in made]


def test_only_what_is_missing_is_made(settings: Settings) -> None:
    ensure_topics(settings)
    admin = KafkaAdminClient(**kafka_python_connection(settings))
    admin.delete_topics([settings.topic("items")])
    deadline = time.monotonic() + 10
    while admin.describe_topics([settings.topic("items")])[0]["error_code"] == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    admin.close()
    created = [state.name for state in ensure_topics(settings) if state.created]
    assert created == [settings.topic("items")]


def test_another_number_of_partitions_is_an_error_and_changes_nothing(settings: Settings) -> None:
    ensure_topics(settings)
    with pytest.raises(BrokerError, match=f"{settings.topic('requests')} has 2 partitions instead of 3"):
        ensure_topics(msgspec.structs.replace(settings, partitions=3))
    assert not any(state.created for state in ensure_topics(settings))


@pytest.mark.parametrize("bootstrap", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)
def test_another_cleanup_policy_is_an_error(settings: Settings) -> None:
    admin = KafkaAdminClient(**kafka_python_connection(settings))
    wrong = {"num_partitions": 2, "replication_factor": 1, "configs": {"cleanup.policy": "delete"}}
    admin.create_topics({settings.topic("controls"): wrong}, wait_for_metadata=True)
    admin.close()
    with pytest.raises(BrokerError, match=r"controls has cleanup\.policy=delete instead of compact"):
        ensure_topics(settings)


@pytest.mark.parametrize("bootstrap", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)
def test_what_the_broker_refuses_is_said(settings: Settings) -> None:
    with pytest.raises(BrokerError, match=r"cannot create .*requests.*[Rr]eplication"):
        ensure_topics(msgspec.structs.replace(settings, replication=3))
