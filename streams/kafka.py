"""How to connect to the broker that the settings name: every client's arguments, and what its errors mean."""

import logging
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ranker.errors import BrokerError, ConfigError
from streams.settings import Settings

API_VERSIONS, METADATA = 18, 3
BOOTSTRAP_TIMEOUT = 10.0


def servers(settings: Settings) -> list[tuple[str, int]]:
    """Host and port of each bootstrap server. Raises ConfigError naming the one that is not `host:port`."""
    pairs = []
    for server in settings.kafka_bootstrap.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise ConfigError(f"CTRLREC_KAFKA_BOOTSTRAP: {server.strip()!r} is not host:port")
        pairs.append((host.strip("[]"), int(port)))
    return pairs


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """What verifies the broker's certificate and name; None where the connection is not encrypted."""
    if not settings.kafka_security.endswith("SSL"):
        return None
    try:
        return ssl.create_default_context(cafile=settings.kafka_ca)
    except (OSError, ssl.SSLError) as error:
        raise BrokerError(f"CTRLREC_KAFKA_CA: no certificates in {settings.kafka_ca}: {error}") from error


def kafka_python_connection(settings: Settings) -> dict[str, Any]:
    """Arguments for kafka-python's producer, consumer and admin client."""
    return {**aiokafka_connection(settings), "bootstrap_timeout_ms": round(BOOTSTRAP_TIMEOUT * 1000)}


def aiokafka_connection(settings: Settings) -> dict[str, Any]:
    """Arguments for aiokafka's producer and consumer."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": [
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in servers(settings)
        ],
        "client_id": "ctrlrec",
        "security_protocol": settings.kafka_security,
        "ssl_context": ssl_context(settings),
    }
    if settings.kafka_security.startswith("SASL"):
        arguments |= {
            "sasl_mechanism": settings.kafka_mechanism,
            "sasl_plain_username": settings.kafka_user,
            "sasl_plain_password": settings.kafka_password,
        }
    return arguments


def faust_credentials(settings: Settings) -> Any:
    """Faust's `broker_credentials`; None for a plain connection."""
    import faust

    context = ssl_context(settings)
    if settings.kafka_security.startswith("SASL"):
        return faust.SASLCredentials(
            username=settings.kafka_user,
            password=settings.kafka_password,
            mechanism=settings.kafka_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None


def check_reachable(settings: Settings, timeout: float = 5.0) -> None:
    """Return when one of the servers answers a Kafka request, over TLS where that is configured.

    Raises BrokerError saying of each server what went wrong. The clients retry all of these until a timeout that names
    no reason, and kafka-python waits for ever where a TLS handshake is never answered. Does not log in (SASL).
    """
    context, failures = ssl_context(settings), []
    for host, port in servers(settings):
        try:
            ask(host, port, API_VERSIONS, 0, b"", context=context, timeout=timeout)
        except OSError as error:
            failures.append(f"{host}:{port} {_what_failed(error, context)}")
        else:
            return
    raise BrokerError(
        f"no Kafka broker: {'; '.join(failures)}. "
        "Start one with `ctrlrec broker`, or name another with CTRLREC_KAFKA_BOOTSTRAP"
    )


def ask(
    host: str, port: int, key: int, version: int, body: bytes, *, context: ssl.SSLContext | None = None, timeout: float
) -> bytes:
    """Send one Kafka request on a connection of its own and return the response's body. Raises OSError."""
    with socket.create_connection((host, port), timeout) as plain:
        connection = context.wrap_socket(plain, server_hostname=host) if context else plain
        client = b"ctrlrec"
        request = struct.pack(">hhih", key, version, 1, len(client)) + client + body
        with connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            size, correlation = struct.unpack(">ii", _read(connection, 8))
            if correlation != 1 or not 4 <= size < 2**24:
                raise ConnectionError("answers, but not as Kafka does")
            return _read(connection, size - 4)


def _read(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise ConnectionResetError("closed the connection without an answer; does it expect TLS?")
        parts += part
    return bytes(parts)


def _what_failed(error: OSError, context: ssl.SSLContext | None) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"has a certificate that is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"does not speak TLS as expected: {error.reason or error}"
        case socket.gaierror():
            return "is not a known host name"
        case ConnectionRefusedError():
            return "refuses connections"
        case TimeoutError():
            return "did not answer" + ("; does it expect TLS?" if context is None else "; is it a plaintext port?")
        case _:
            return str(error)


_REFUSED = {
    "SaslAuthenticationFailedError", "SaslAuthenticationFailed", "AuthenticationFailedError",
    "UnsupportedSaslMechanismError", "IllegalSaslStateError",
}  # fmt: skip


def explained(error: Exception, settings: Settings) -> BrokerError:
    """A kafka-python or aiokafka error in words that say what to change. Never holds the password."""
    kind = type(error).__name__  # the two libraries name theirs alike, and share no class
    where = settings.kafka_bootstrap
    if kind in _REFUSED:
        return BrokerError(
            f"the broker at {where} refuses user {settings.kafka_user!r} ({settings.kafka_mechanism}): "
            "check CTRLREC_KAFKA_USER, CTRLREC_KAFKA_PASSWORD and CTRLREC_KAFKA_MECHANISM"
        )
    if "AuthorizationFailed" in kind:
        who = f"user {settings.kafka_user!r}" if settings.kafka_user else "this client"
        return BrokerError(f"{who} lacks a permission on the broker at {where}: {error}")
    return BrokerError(f"the broker at {where}: {error}")


@contextmanager
def broker_errors(settings: Settings) -> Iterator[None]:
    """Turn kafka-python's errors into BrokerError, and keep its log of every retry quiet meanwhile."""
    from kafka.errors import KafkaError

    log = logging.getLogger("kafka")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    except KafkaError as error:
        raise explained(error, settings) from error
    finally:
        log.setLevel(level)
