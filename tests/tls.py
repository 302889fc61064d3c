"""Certificates for tests, and a server that only listens to what it is sent."""

import contextlib
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key


class Authority:
    """Signs certificates; `ca` is the file that trusts them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._ca, self._folder, self.ca = trustme.CA(), folder, folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))

    def certificate(self, host: str, *, expired: bool = False) -> Path:
        """A PEM file of a key (PKCS #8, which Kafka wants) and its chain."""
        ended = datetime.now(UTC) - timedelta(days=1)
        leaf = (
            self._ca.issue_cert(host, not_before=ended - timedelta(days=9), not_after=ended)
            if expired
            else self._ca.issue_cert(host)
        )
        key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        file = self._folder / f"{host}{'-expired' if expired else ''}.pem"
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + chain)
        return file


class Listener:
    """Takes connections on a loopback port, with TLS where it has a certificate, and keeps all that it hears."""

    def __init__(self, certificate: Path | None = None) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.heard = bytearray()
        self._context: ssl.SSLContext | None = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._server.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                plain.settimeout(2)
                link = self._context.wrap_socket(plain, server_side=True) if self._context else plain
                with link:
                    self.heard += link.recv(1 << 16)
