"""Apache Kafka for tests: one node on loopback, in a folder of its own."""

import os
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from streams.probe import API_VERSIONS, Link

READY_TIMEOUT, STOP_TIMEOUT = 60.0, 20.0
LOGINS = """\
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.client.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
username="broker" password="broker" user_broker="broker\""""


class KafkaServer:
    """Runs for as long as the context lasts. `home` is an unpacked Apache Kafka 4; Java 17 must be on the path.

    Given `users` and their passwords, clients must log in (SASL, PLAIN, unencrypted).
    """

    def __init__(self, home: Path, folder: Path, users: dict[str, str] | None = None) -> None:
        self._home, self._folder, self._users = home, folder, users
        self._port, self._controller = _free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        properties = self._folder / "server.properties"
        logins = (
            "" if self._users is None else LOGINS + "".join(f' user_{u}="{p}"' for u, p in self._users.items()) + ";"
        )
        properties.write_text(
            f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{self._controller}
controller.listener.names=CONTROLLER
listeners=CLIENT://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:{self._controller}
advertised.listeners=CLIENT://127.0.0.1:{self._port}
listener.security.protocol.map=CLIENT:{"SASL_PLAINTEXT" if self._users else "PLAINTEXT"},CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
log.dirs={self._folder / "data"}
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
{logins}
"""
        )
        environment = os.environ | {
            "KAFKA_HEAP_OPTS": "-Xmx256m -Xms256m",
            "LOG_DIR": str(self._folder / "logs"),
            "KAFKA_JVM_PERFORMANCE_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        }
        subprocess.run(
            [self._home / "bin/kafka-storage.sh", "format", "-t", "Y3RybHJlYy10ZXN0cy0wMA", "-c", properties],
            env=environment,
            check=True,
            capture_output=True,
            timeout=READY_TIMEOUT,
        )
        self._log = (self._folder / "server.log").open("wb")
        self._process = subprocess.Popen(
            [self._home / "bin/kafka-server-start.sh", properties],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + READY_TIMEOUT
        while True:
            try:
                with Link("127.0.0.1", self._port, None, timeout=1.0) as link:
                    link.ask(API_VERSIONS, 0)
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    self.stop()
                    tail = (self._folder / "server.log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"Apache Kafka did not start:\n{tail}") from None
                time.sleep(0.1)
            else:
                return self

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()  # the scripts replace themselves with java, so this is the broker's own process
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._log is not None:
            self._log.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
