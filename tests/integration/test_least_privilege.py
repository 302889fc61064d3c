"""A broker that allows what docs/security.md says that workers and a platform need, and nothing else."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaProducer

from ranker.errors import BrokerError
from streams.client import Client
from streams.kafka import kafka_python_connection
from streams.settings import Settings
from streams.supervise import WorkerProcess
from streams.topics import check_topics, ensure_topics
from tests.kafkaserver import KafkaServer
from tests.live import ITEMS, SCORES, TIMEOUT
from tests.unit.tiny_towers import bundle_folder

pytestmark = pytest.mark.kafka

PASSWORDS = {"ctrlrec-worker": "canary-7", "platform": "canary-8"}
AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    # The broker itself, and its controllers, which have no login here.
    "super.users": "User:broker;User:ANONYMOUS",
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"


@pytest.fixture(scope="module")
def administrator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Of a broker on which the documented commands were run."""
    home = os.environ.get("KAFKA_HOME")
    if not home:
        pytest.skip("KAFKA_HOME is not set: permissions are not tested")
    folder = tmp_path_factory.mktemp("authorized")
    with KafkaServer(Path(home), folder, PASSWORDS, settings=AUTHORIZER) as server:
        admin = Settings(
            kafka_bootstrap=server.bootstrap, kafka_security="SASL_PLAINTEXT", kafka_mechanism="PLAIN",
            kafka_user="broker", kafka_password="broker", partitions=1, monitoring_port=0, bundle=bundle_folder(),
        )  # fmt: skip
        ensure_topics(admin)
        (folder / "admin.properties").write_text(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=org.apache.kafka.common.security.plain."
            'PlainLoginModule required username="broker" password="broker";\n'
        )
        path = f"{home}/bin:{os.environ['PATH']}"
        subprocess.run(
            ["bash", "-euc", documented().replace("kafka-1:9093", server.bootstrap)],
            cwd=folder, env=os.environ | {"PATH": path}, check=True, capture_output=True, timeout=TIMEOUT,
        )  # fmt: skip
        yield admin


def documented() -> str:
    """The commands that give permissions."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("    add() {"))
    return "\n".join(lines[first : lines.index("", first)])


def login(administrator: Settings, user: str) -> Settings:
    return msgspec.structs.replace(administrator, kafka_user=user, kafka_password=PASSWORDS[user])


def test_what_is_documented_is_enough(administrator: Settings, tmp_path: Path) -> None:
    with WorkerProcess(login(administrator, "ctrlrec-worker"), tmp_path / "log") as worker:
        worker.wait_ready(TIMEOUT)
        platform = login(administrator, "platform")
        with KafkaProducer(**kafka_python_connection(platform)) as producer:
            producer.send(platform.topic("candidates"), b"{").get(
                timeout=TIMEOUT
            )  # its dead letter must be allowed, too
        with Client(platform) as client:
            client.publish_item("new", "a new drama")
            request = client.set_request("u", "no horror please")
            rankings = client.rankings(timeout=TIMEOUT)
            deadline = time.monotonic() + TIMEOUT
            while time.monotonic() < deadline:
                asked = client.publish_candidates("u", [*ITEMS, "new"], [*SCORES, 0.5])
                ranking = next(each for each in rankings if each.event_id == asked)
                if ranking.request_id == request and not ranking.unknown_items:
                    break
            else:
                pytest.fail(f"the item or the request never came: {ranking}")
        assert worker.stop() == 0
        assert "uthorization" not in worker.log.read_text()


def test_nobody_may_do_more(administrator: Settings) -> None:
    for user in PASSWORDS:
        with pytest.raises(BrokerError, match=f"user '{user}' lacks a permission") as refused:
            ensure_topics(msgspec.structs.replace(login(administrator, user), topic_prefix="feed.other."))
        assert "canary" not in str(refused.value)
        with pytest.raises(BrokerError, match=r"lacks a permission.*to describe feed\.other\."):
            check_topics(msgspec.structs.replace(login(administrator, user), topic_prefix="feed.other."))
    with (
        Client(login(administrator, "ctrlrec-worker")) as client,
        pytest.raises(BrokerError, match="lacks a permission"),
    ):
        client.set_request("u", "horror")
