"""One connection to a broker, by hand: to find out in a moment, and exactly, why a client would not get through.

The client libraries retry everything until a timeout and then name no reason; kafka-python waits for ever where a TLS
handshake is never answered.
"""

import socket
import ssl
import struct
from types import TracebackType
from typing import Any, Self

API_VERSIONS, METADATA, SASL_HANDSHAKE, SASL_AUTHENTICATE = 18, 3, 17, 36
MAX_ANSWER = 2**24


class NotKafkaError(OSError):
    """Something answers, but not as Kafka does."""


class LoginError(OSError):
    """The broker does not let this user in; the message says why."""


class Link:
    """A connection for as long as the context lasts. Everything raises OSError."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None, timeout: float) -> None:
        self._host = host
        plain = socket.create_connection((host, port), timeout)
        try:
            self._socket = context.wrap_socket(plain, server_hostname=host) if context else plain
        except OSError:
            plain.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, key: int, version: int, body: bytes = b"") -> bytes:
        """The body of the answer to one request, with headers of version 1 and 0."""
        request = struct.pack(">hhi", key, version, 1) + _string("ctrlrec") + body
        self._socket.sendall(struct.pack(">i", len(request)) + request)
        size, correlation = struct.unpack(">ii", self._read(8))
        if correlation != 1 or not 4 <= size < MAX_ANSWER:
            raise NotKafkaError("answers, but not as Kafka does")
        return self._read(size - 4)

    def metadata(self) -> bytes:
        """Of no topics; it names the cluster. A broker closes the connection for it where one has to log in first."""
        return self.ask(METADATA, 2, struct.pack(">i", 0))

    def log_in(self, mechanism: str, user: str, password: str) -> None:
        """Raises LoginError; its message never holds the password."""
        from kafka.net.sasl import get_sasl_mechanism

        answer = self.ask(SASL_HANDSHAKE, 1, _string(mechanism))
        if int.from_bytes(answer[:2]):
            offered = ", ".join(_strings(answer[2:])) or "no mechanism"
            raise LoginError(f"offers {offered}, not {mechanism}: set CTRLREC_KAFKA_MECHANISM")
        dialogue: Any = get_sasl_mechanism(mechanism)(
            host=self._host, sasl_mechanism=mechanism, sasl_plain_username=user, sasl_plain_password=password
        )
        while not dialogue.is_done():
            token = dialogue.auth_bytes()
            answer = self.ask(SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
            length = max(0, int.from_bytes(answer[2:4], signed=True))
            if int.from_bytes(answer[:2]):
                raise LoginError(
                    f"refuses user {user!r} ({mechanism}: {answer[4 : 4 + length].decode(errors='replace')}): "
                    "check CTRLREC_KAFKA_USER and CTRLREC_KAFKA_PASSWORD"
                )
            dialogue.receive(answer[8 + length :])
        if not dialogue.is_authenticated():
            raise LoginError(f"does not prove that it knows the password of {user!r}")

    def _read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._socket.recv(size - len(parts))
            if not part:
                raise ConnectionResetError
            parts += part
        return bytes(parts)


def advertised(metadata: bytes) -> list[str]:
    """The hosts to which a broker sends its clients, from its `metadata`."""
    count, at, hosts = int.from_bytes(metadata[:4], signed=True), 4, []
    for _ in range(count):
        length = int.from_bytes(metadata[at + 4 : at + 6])  # after the broker's number; before its port and its rack
        host, at = metadata[at + 6 : at + 6 + length], at + 10 + length
        at += 2 + max(0, int.from_bytes(metadata[at : at + 2], signed=True))
        if at > len(metadata):
            raise NotKafkaError("answers, but not as Kafka does")
        hosts.append(host.decode(errors="replace"))
    return hosts


def what_failed(error: OSError, *, encrypted: bool) -> str:
    """What a server did, as the rest of a sentence that begins with its address."""
    match error:
        case LoginError() | NotKafkaError():
            return str(error)
        case ssl.SSLCertVerificationError():
            return f"has a certificate that is not trusted: {error.verify_message.rstrip('.')}"
        case ssl.SSLError():
            return f"does not speak TLS as expected ({error.reason or error}); is it a plaintext port?"
        case socket.gaierror():
            return "is not a known host name"
        case ConnectionRefusedError():
            return "refuses connections"
        case TimeoutError() | ConnectionResetError() | BrokenPipeError():
            return "did not answer; " + ("is it a plaintext port?" if encrypted else "does it expect TLS?")
        case _:
            return str(error)


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()


def _strings(raw: bytes) -> list[str]:
    count, at, found = int.from_bytes(raw[:4]), 4, []
    for _ in range(count):
        length = int.from_bytes(raw[at : at + 2])
        found.append(raw[at + 2 : at + 2 + length].decode(errors="replace"))
        at += 2 + length
    return found
