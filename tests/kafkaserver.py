"""Apache Kafka for tests: one node on loopback, or several, in folders of their own."""

import os
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

from streams.probe import API_VERSIONS, Link

READY_TIMEOUT, STOP_TIMEOUT = 180.0, 20.0
LOGINS = """\
sasl.enabled.mechanisms=PLAIN,{scram}
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.client.{listener}.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.client.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required"""
CLUSTER = "Y3RybHJlYy10ZXN0cy0wMA"


class Place(NamedTuple):
    """A node among others."""

    number: int
    port: int
    """Of a broker for its clients; of a controller alone for the brokers."""
    controller: tuple[int, int]
    """Number and port of the one that they all have."""
    broker: bool = True

    @property
    def controls(self) -> bool:
        return self.number == self.controller[0]


class KafkaServer:
    """One node, for as long as the context lasts. `home` is an unpacked Apache Kafka 4; Java 17 must be on the path.

    Given `users` and their passwords, clients must log in (PLAIN or `scram`). Given `tls`, PEM files of
    a key with its chain and of the authority, they must speak TLS. `host` is the name of this machine that clients are told.
    """

    def __init__(
        self,
        home: Path,
        folder: Path,
        users: Mapping[str, str] | None = None,
        *,
        tls: tuple[Path, Path] | None = None,
        host: str = "127.0.0.1",
        scram: str = "SCRAM-SHA-512",
        place: Place | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        if place is None:
            port, controller = free_ports(2)
            place = Place(1, port, (1, controller))
        self._home, self._folder, self._users, self._tls = home, folder, users or {}, tls
        self._place, self._settings, self._host, self._scram = place, settings or {}, host, scram
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"{self._host}:{self.port}"

    @property
    def port(self) -> int:
        return self._place.port

    @property
    def number(self) -> int:
        return self._place.number

    def __enter__(self) -> Self:
        self.launch()
        self.wait_ready()
        return self

    def launch(self) -> None:
        """Start it, the first time in an empty folder; `wait_ready` waits."""
        properties = self._folder / "server.properties"
        if not properties.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            properties.write_text(self._properties())
            self._format(properties)
        self._log = (self._folder / "server.log").open("ab")
        self._process = subprocess.Popen(
            [self._home / "bin/kafka-server-start.sh", properties],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def wait_ready(self) -> None:
        """Raises RuntimeError with the end of its log."""
        deadline = time.monotonic() + READY_TIMEOUT
        while not self._answers():
            if time.monotonic() > deadline or self._process is None or self._process.poll() is not None:
                self.stop()
                tail = (self._folder / "server.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"Apache Kafka did not start:\n{tail}")
            time.sleep(0.1)

    def kill(self) -> None:
        """kill -9. `launch` brings it back, with what it had written."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.stop()

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

    def _answers(self) -> bool:
        if self._tls or not self._place.broker:
            # A TLS handshake would need the authority; that it listens is what it does last.
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            except OSError:
                return False
            return True
        try:
            with Link("127.0.0.1", self.port, None, timeout=1.0) as link:
                link.ask(API_VERSIONS, 0)
        except OSError:
            return False
        return True

    def _properties(self) -> str:
        place, (controller, port) = self._place, self._place.controller
        listeners = [f"CLIENT://127.0.0.1:{place.port}"] * place.broker + [
            f"CONTROLLER://127.0.0.1:{port}"
        ] * place.controls
        lines: dict[str, object] = {
            "process.roles": ",".join(["broker"] * place.broker + ["controller"] * place.controls),
            "node.id": place.number,
            "controller.quorum.voters": f"{controller}@127.0.0.1:{port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join(listeners),
            "listener.security.protocol.map": f"CLIENT:{self._protocol()},CONTROLLER:PLAINTEXT",
            "log.dirs": self._folder / "data",
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "auto.create.topics.enable": "false",
        }
        if place.broker:
            lines |= {"advertised.listeners": f"CLIENT://{self.bootstrap}", "inter.broker.listener.name": "CLIENT"}
        for store, file in zip(("keystore", "truststore"), self._tls or (), strict=False):
            lines |= {f"ssl.{store}.type": "PEM", f"ssl.{store}.location": file}
        text = "\n".join(f"{name}={value}" for name, value in (lines | dict(self._settings)).items())
        if self._users:
            users = {"broker": "broker"} | dict(self._users)
            known = "".join(f' user_{user}="{password}"' for user, password in users.items())
            logins = LOGINS.format(scram=self._scram, listener=self._scram.lower())
            text += f'\n{logins} username="broker" password="broker"{known};'
        return text + "\n"

    def _protocol(self) -> str:
        return ("SASL_" if self._users else "") + ("SSL" if self._tls else "PLAINTEXT")

    def _format(self, properties: Path) -> None:
        scram = [f"{self._scram}=[name={user},password={password}]" for user, password in self._users.items()]
        subprocess.run(
            [
                *(self._home / "bin/kafka-storage.sh", "format", "-t", CLUSTER, "-c", properties),
                *(argument for each in scram for argument in ("--add-scram", each)),
            ],
            env=self._environment(),
            check=True,
            capture_output=True,
            timeout=READY_TIMEOUT,
        )

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "KAFKA_HEAP_OPTS": "-Xmx256m -Xms256m",
            "LOG_DIR": str(self._folder / "logs"),
            "KAFKA_JVM_PERFORMANCE_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        }


class KafkaCluster:
    """Three brokers, all copies of everything, and a controller; how many a write needs is for its topic to say. A context."""

    def __init__(self, home: Path, folder: Path) -> None:
        *ports, port = free_ports(4)
        controller = 4, port
        settings = {
            "default.replication.factor": 3,
            "offsets.topic.replication.factor": 3,
            "transaction.state.log.replication.factor": 3,
            # A killed node is missed after 3 s, and may come back as soon.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
        }
        self.nodes = [
            KafkaServer(home, folder / str(n), place=Place(n, port, controller), settings=settings)
            for n, port in enumerate(ports, 1)
        ]
        self._controller = KafkaServer(
            home, folder / "4", place=Place(*controller, controller, broker=False), settings=settings
        )

    @property
    def bootstrap(self) -> str:
        return ",".join(node.bootstrap for node in self.nodes)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in (self._controller, *self.nodes):
                node.launch()
                stack.callback(node.stop)
            for node in (self._controller, *self.nodes):
                node.wait_ready()
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in (*self.nodes, self._controller):
            node.kill()  # nobody is left to hand anything over to


def free_ports(count: int) -> list[int]:
    """That nobody listens on now, on 127.0.0.1."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
