"""How to connect to the broker that the settings name: every client's arguments, and what its errors mean."""

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ranker.errors import BrokerError, ConfigError
from streams.probe import API_VERSIONS, Link, LoginError, advertised, what_failed
from streams.settings import Settings

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
    """What verifies the broker's certificate and name; None where the connection is not encrypted.

    Whoever connects comes by here. Raises ConfigError where that must not be in the clear.
    """
    settings.check()
    if not settings.kafka_security.endswith("SSL"):
        return None
    try:
        return ssl.create_default_context(cafile=settings.kafka_ca)
    except (OSError, ssl.SSLError) as error:
        raise BrokerError(f"CTRLREC_KAFKA_CA: no certificates in {settings.kafka_ca}: {error}") from error


def kafka_python_connection(settings: Settings) -> dict[str, Any]:
    """Arguments for kafka-python's producer, consumer and admin client."""
    from streams.clientheadernames import accept_any_header_name

    accept_any_header_name()
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
    """Return when one of the servers lets this client in: over TLS and with a login where that is configured.

    Raises BrokerError saying of each server what went wrong, and ConfigError where a broker would have clients go on to
    another in the clear.
    """
    context, failures, hint = ssl_context(settings), [], ""
    for host, port in servers(settings):
        try:
            with Link(host, port, context, timeout) as link:
                hosts = advertised(_let_in(link, settings))
        except OSError as error:
            failures.append(f"{host}:{port} {what_failed(error, encrypted=context is not None)}")
            if isinstance(error, ConnectionRefusedError):
                hint = ". Start a broker with `ctrlrec broker`, or name another with CTRLREC_KAFKA_BOOTSTRAP"
        else:
            for other in hosts:
                settings.check_host(other, f"the broker at {host}:{port} has clients connect to")
            return
    raise BrokerError(f"cannot connect to Kafka: {'; '.join(failures)}{hint}")


def _let_in(link: Link, settings: Settings) -> bytes:
    """The broker's metadata."""
    link.ask(API_VERSIONS, 0)
    if settings.kafka_user and settings.kafka_password and settings.kafka_security.startswith("SASL"):
        link.log_in(settings.kafka_mechanism, settings.kafka_user, settings.kafka_password)
        return link.metadata()
    try:
        return link.metadata()
    except ConnectionResetError as error:
        raise LoginError(
            "lets nobody in without a login: set CTRLREC_KAFKA_SECURITY=SASL_SSL, CTRLREC_KAFKA_USER and "
            "CTRLREC_KAFKA_PASSWORD"
        ) from error


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
