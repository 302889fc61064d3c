"""A broker that never answers the end of a TLS connection must not hold up a worker that stops."""

import asyncio
import socket
import ssl
import threading
import time
from pathlib import Path

from streams.loop import TLS_CLOSE_TIMEOUT, Loop
from tests.tls import Authority


def test_a_tls_connection_ends_without_the_brokers_answer(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(authority.certificate("localhost"))
    ended = threading.Event()

    def mute(listener: socket.socket) -> None:
        """Shake hands and never read again."""
        plain, _ = listener.accept()
        with theirs.wrap_socket(plain, server_side=True):
            ended.wait(60)

    async def close_after_connecting(port: int) -> float:
        ours = ssl.create_default_context(cafile=authority.ca)
        _, writer = await asyncio.open_connection("localhost", port, ssl=ours)
        began = time.monotonic()
        writer.close()
        await asyncio.wait([asyncio.ensure_future(writer.wait_closed())], timeout=20)
        return time.monotonic() - began

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=mute, args=(listener,))
        thread.start()
        try:
            with asyncio.Runner(loop_factory=Loop) as runner:
                waited = runner.run(close_after_connecting(listener.getsockname()[1]))
        finally:
            ended.set()
            thread.join()
    assert TLS_CLOSE_TIMEOUT / 2 < waited < 4 * TLS_CLOSE_TIMEOUT
