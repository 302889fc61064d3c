"""A broker for the benchmarks, beside the load and away from the work."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.broker import EmbeddedBroker
from tests.bench.cores import on_core
from tests.bench.figures import Bench
from tests.kafkaserver import KafkaServer


@contextmanager
def broker(bench: Bench) -> Iterator[str]:
    """Bootstrap address of Apache Kafka where KAFKA_HOME names one, else of the embedded broker.

    As long as it lasts, this process has the core of the load, as the broker has.
    """
    home = os.environ.get("KAFKA_HOME")
    with on_core(bench.cores.load):
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
