import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ranker.errors import BrokerError
from streams.client import Client
from streams.kafka import check_reachable
from streams.settings import Settings
from streams.topics import ensure_topics
from tests.kafkaserver import KafkaServer

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Of a broker that lets in `reader` alone."""
    home = os.environ.get("KAFKA_HOME")
    if not home:
        pytest.skip("KAFKA_HOME is not set: logins are not tested")
    with KafkaServer(Path(home), tmp_path_factory.mktemp("guarded"), {"reader": "canary-5"}) as server:
        yield Settings(
            kafka_bootstrap=server.bootstrap, kafka_security="SASL_PLAINTEXT", kafka_mechanism="PLAIN",
            kafka_user="reader", kafka_password="canary-5", partitions=1,
        )  # fmt: skip


def test_the_right_login_gets_in(guarded: Settings) -> None:
    assert all(state.created for state in ensure_topics(guarded))
    with Client(guarded) as client:
        client.set_request("u", "no horror")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kafka_password": "canary-6"}, "refuses user 'reader' .*CTRLREC_KAFKA_PASSWORD"),
        ({"kafka_user": "nobody"}, "refuses user 'nobody'"),
        ({"kafka_mechanism": "SCRAM-SHA-256"}, "offers .*PLAIN.*, not SCRAM-SHA-256"),
        ({"kafka_security": "PLAINTEXT"}, "lets nobody in without a login"),
        ({"kafka_security": "SASL_SSL"}, "plaintext port|TLS"),
    ],
)
def test_another_does_not_and_is_told_why(guarded: Settings, change: dict[str, object], message: str) -> None:
    settings = msgspec.structs.replace(guarded, **change)
    for attempt in (check_reachable, ensure_topics, Client):
        with pytest.raises(BrokerError, match=message) as refused:
            attempt(settings)
        assert "canary" not in str(refused.value)
