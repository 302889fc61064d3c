"""A broker for the benchmarks, beside the load and away from the work, and topics on it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streams.broker import EmbeddedBroker
from streams.settings import Settings
from streams.topics import ensure_topics
from streams.wire import encode
from tests.bench.cores import on_cores
from tests.bench.figures import Bench
from tests.bench.load import publish_singly
from tests.bench.workload import controls, load_bundle
from tests.kafkaserver import KafkaServer


@contextmanager
def broker(bench: Bench) -> Iterator[str]:
    """Bootstrap address of Apache Kafka where KAFKA_HOME names one, else of the embedded broker.

    As long as it lasts, this process has the cores of the load, as the broker has.
    """
    home = os.environ.get("KAFKA_HOME")
    with on_cores(bench.cores.load):
        if home:
            # A folder of its own: one that is there keeps the port that its first node had.
            folder = tempfile.mkdtemp(prefix="kafka-", dir=bench.folder)
            with KafkaServer(Path(home), Path(folder)) as server:
                yield server.bootstrap
        else:
            with EmbeddedBroker() as embedded:
                yield embedded.bootstrap


def broker_name() -> str:
    return "Apache Kafka" if os.environ.get("KAFKA_HOME") else "the embedded broker"


def prepared(bench: Bench, bootstrap: str, prefix: str, **changes: Any) -> Settings:
    """Topics and a group of their own, with the control of every user; `changes` are of the settings."""
    settings = Settings(
        kafka_bootstrap=bootstrap,
        topic_prefix=prefix,
        group=prefix,
        bundle=bench.bundle.absolute(),
        monitoring_port=0,
        **changes,
    )
    ensure_topics(settings)
    events = ((control.user_id, encode(control)) for control in controls(load_bundle(bench.bundle)))
    publish_singly(bootstrap, settings.topic("controls"), settings.partitions, events)
    return settings
