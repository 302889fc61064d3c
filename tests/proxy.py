"""A TCP proxy between clients and a broker: it can drop every connection for a while, let nothing through, or be slow."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

CHUNK = 1 << 16


class Proxy:
    """Forwards to `target`, host and port, for as long as the context lasts."""

    def __init__(self) -> None:
        """The address is taken at once: a broker has to know it before it starts."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.target: tuple[str, int]
        self.dropped = 0
        """Connections that were cut, or refused while it was cut."""
        self.late = 0.0
        """Seconds by which whatever the broker sends comes late."""
        self.accepted = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._cut = False
        self._flows = threading.Event()
        self._flows.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _close(self._listener)
        self._drop()
        self._flows.set()

    def hold(self) -> None:
        """Accept and keep all connections from now on, and let nothing through."""
        self._flows.clear()

    def release(self) -> None:
        """Let through again, what was held first."""
        self._flows.set()

    def cut(self, seconds: float) -> None:
        """Drop every connection, and let none through for so long."""
        try:
            self.cut_off()
            time.sleep(seconds)
        finally:
            self.let_in()

    def cut_off(self) -> None:
        """Drop every connection, and let none through until `let_in`."""
        self._cut = True
        self._drop()

    def let_in(self) -> None:
        self._cut = False

    def _drop(self) -> None:
        with self._lock:
            dropped, self._open = self._open, set()
        self.dropped += len(dropped) // 2
        for each in dropped:
            _close(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._cut:
                self.dropped += 1
                _close(client)
                continue
            try:
                broker = socket.create_connection(self.target, 5)
            except OSError:
                _close(client)
                continue
            broker.settimeout(None)
            with self._lock:
                self._open |= {client, broker}
                self.accepted += 1
            for pair in ((client, broker, lambda: 0.0), (broker, client, lambda: self.late)):
                threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, late: Callable[[], float]) -> None:
        try:
            while data := source.recv(CHUNK):
                self._flows.wait()
                time.sleep(late())
                sink.sendall(data)
        except OSError:
            pass
        finally:
            with self._lock:
                self._open -= {source, sink}
            _close(source)
            _close(sink)


def _close(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it, which close alone does not
    each.close()
