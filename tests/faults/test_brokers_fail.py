"""Brokers that cannot be reached, and brokers that die: writes wait, and nothing is missing."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, Producer
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from streams.broker import EmbeddedBroker
from streams.kafka import kafka_python_connection
from streams.settings import Settings
from tests.faults.fleet import Fleet
from tests.faults.standing import TOGETHER, Standing
from tests.kafkaserver import KafkaCluster, KafkaServer
from tests.live import TIMEOUT
from tests.proxy import Proxy

pytestmark = pytest.mark.faults

CUT = 12.0


@pytest.fixture
def behind_proxy() -> Iterator[tuple[str, Proxy]]:
    """Address of a broker that clients only reach through the proxy."""
    with Proxy() as proxy, EmbeddedBroker(advertised=proxy.address) as broker:
        proxy.target = "127.0.0.1", broker.port
        yield broker.bootstrap, proxy


@pytest.mark.alone
def test_every_connection_is_cut(behind_proxy: tuple[str, Proxy], fleets: Callable[..., Fleet]) -> None:
    bootstrap, proxy = behind_proxy
    fleet = fleets(bootstrap, rate=100)
    standing = Standing(fleet.live)
    fleet.join()
    fleet.under_load()
    standing.publish_many()
    cutting = threading.Thread(target=proxy.cut, args=(CUT,))
    standing.send(TOGETHER)  # on their way when it is cut
    cutting.start()
    restarts = 0
    while cutting.is_alive():
        standing.send(1)
        fleet.read(0.2)
        restarts += fleet.keep_alive()
    fleet.read(3)
    restarts += fleet.keep_alive()
    standing.publish_many()
    fleet.load.check_commits()
    fleet.load.stop()
    fleet.load.check(f"every connection cut for {CUT:.0f} s")
    standing.check("the same of controls and items")
    print(f"{proxy.dropped} connections dropped, {restarts} workers restarted")
    assert proxy.dropped > 2


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    home = os.environ.get("KAFKA_HOME")
    if not home:
        pytest.skip("KAFKA_HOME is not set: the loss of brokers is not tested")
    with KafkaCluster(Path(home), tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.mark.kafka
def test_the_leader_is_lost_and_then_two_of_three(cluster: KafkaCluster, fleets: Callable[..., Fleet]) -> None:
    fleet = fleets(cluster.bootstrap, rate=100, replication=3)
    settings = fleet.live.settings
    assert _in_sync(settings) == "2"  # of the product's own making: these brokers' default is 1
    standing = Standing(fleet.live)
    fleet.join()
    fleet.under_load()
    standing.publish_many()

    leader = _leader(settings, cluster)
    standing.send(TOGETHER)  # on their way when it is lost
    leader.kill()
    standing.publish_many()
    fleet.read(1)
    outputs = fleet.live.outputs
    answered = len(outputs.rankings)
    assert outputs.until(lambda: len(outputs.rankings) > answered + 200), "two of three are enough"
    fleet.load.check_commits()
    leader.launch()
    leader.wait_ready()

    others = [node for node in cluster.nodes if node is not leader]
    lost = [leader, others[0]]
    standing.send(TOGETHER)
    for node in lost:
        node.kill()
    standing.send(TOGETHER)
    assert _refused(settings), "a write was acknowledged that only one of three has"
    for node in lost:
        node.launch()
    for node in lost:
        node.wait_ready()
    fleet.read(2)
    restarts = fleet.keep_alive()
    standing.publish_many()
    fleet.load.check_commits()
    fleet.load.stop()
    fleet.load.check("leader killed, then two nodes of three")
    standing.check("the same of controls and items")
    print(f"{restarts} workers restarted")


def _leader(settings: Settings, cluster: KafkaCluster) -> KafkaServer:
    """The node that leads the first partition of the rankings."""
    admin = KafkaAdminClient(**kafka_python_connection(settings))
    try:
        (topic,) = admin.describe_topics([settings.topic("rankings")])
    finally:
        admin.close()
    number = next(each["leader_id"] for each in topic["partitions"] if each["partition_index"] == 0)
    return next(node for node in cluster.nodes if node.number == number)


def _in_sync(settings: Settings) -> str:
    """Copies that a write to the rankings needs."""
    admin = KafkaAdminClient(**kafka_python_connection(settings))
    name = settings.topic("rankings")
    try:
        described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)], config_filter="all")
    finally:
        admin.close()
    return str(described["topic"][name]["min.insync.replicas"]["value"])


def _refused(settings: Settings) -> bool:
    """Whether a write is refused because too few brokers have all that was written; it may take until the dead are missed."""
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "acks": "all",
            "retries": 0,
            "message.timeout.ms": 5_000,
            "log_level": 0,
        }
    )
    errors: list[KafkaError | None] = []
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        producer.produce(settings.topic("items"), None, b"nothing", on_delivery=lambda error, _: errors.append(error))
        producer.flush(10)
        last = errors[-1] if errors else None
        if errors and last is None:
            return False
        if last is not None and last.code() in (
            KafkaError.NOT_ENOUGH_REPLICAS,
            KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ):
            return True
        time.sleep(0.2)  # sent to one that is dead
    return False
