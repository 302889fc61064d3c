import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ranker.errors import BrokerError
from streams.client import Client
from streams.kafka import check_reachable
from streams.settings import Settings
from streams.supervise import WorkerProcess
from streams.topics import ensure_topics
from tests.kafkaserver import KafkaServer
from tests.live import ITEMS, SCORES, TIMEOUT
from tests.unit.tiny_towers import bundle_folder

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Of a broker that lets in `reader` alone."""
    home = os.environ.get("KAFKA_HOME")
    if not home:
        pytest.skip("KAFKA_HOME is not set: logins are not tested")
    users = {"reader": "canary-5"}
    with KafkaServer(Path(home), tmp_path_factory.mktemp("guarded"), users, scram="SCRAM-SHA-256") as server:
        yield Settings(
            kafka_bootstrap=server.bootstrap, kafka_security="SASL_PLAINTEXT", kafka_mechanism="PLAIN",
            kafka_user="reader", kafka_password="canary-5", partitions=1, monitoring_port=0, bundle=bundle_folder(),
        )  # fmt: skip


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_the_right_login_gets_in(guarded: Settings, tmp_path: Path, mechanism: str) -> None:
    """SCRAM-SHA-512 is in `test_tls.py`."""
    name = f"{mechanism.lower()}."
    settings = msgspec.structs.replace(guarded, kafka_mechanism=mechanism, topic_prefix=name, group=name)
    assert all(state.created for state in ensure_topics(settings))
    with WorkerProcess(settings, tmp_path / "log") as worker, Client(settings) as client:
        worker.wait_ready(TIMEOUT)
        rankings = client.rankings(timeout=TIMEOUT)
        asked = client.publish_candidates("u", ITEMS, SCORES, request="no horror")
        ranking = next(rankings)
        assert (ranking.event_id, ranking.request_id) == (asked, asked)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kafka_password": "canary-6"}, "refuses user 'reader' .*CTRLREC_KAFKA_PASSWORD"),
        ({"kafka_user": "nobody"}, "refuses user 'nobody'"),
        ({"kafka_mechanism": "SCRAM-SHA-512"}, "offers .*PLAIN.*, not SCRAM-SHA-512"),
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
