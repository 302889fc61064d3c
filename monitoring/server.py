"""/metrics, /livez and /readyz, served by threads of their own, so that they answer while the event loop is busy."""

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from monitoring.health import Health

TEXT = "text/plain; charset=utf-8"
CLIENT_TIMEOUT = 10.0


class MonitoringServer:
    """Serves from `start` to `stop`, or for as long as the context lasts."""

    def __init__(self, registry: CollectorRegistry, health: Health, host: str = "127.0.0.1", port: int = 0) -> None:
        """`port` 0 takes a free one. Raises OSError saying so when the address cannot be had."""
        handler = type("Handler", (_Handler,), {"registry": registry, "health": health})
        try:
            self._server = _Server((host, port), handler)
        except OSError as error:
            raise OSError(error.errno, f"monitoring cannot listen on {host}:{port}: {error.strerror}") from error
        self._host = host
        self._thread = Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="monitoring", daemon=True
        )

    @property
    def port(self) -> int:
        """The bound one."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer no more and free the port; nothing happens the second time."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def add_process_metrics(registry: CollectorRegistry) -> None:
    """process_*, python_gc_* and python_info; and no *_created series, which nobody reads, in the whole process."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    PlatformCollector(registry=registry)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a scraper that never finishes must not hold up the end of the worker
    allow_reuse_address = True


class _Handler(BaseHTTPRequestHandler):
    registry: CollectorRegistry
    health: Health
    timeout = CLIENT_TIMEOUT
    server_version, sys_version = "ctrlrec", ""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        verbose = "verbose" in url.query.split("&")
        match url.path:
            case "/metrics":
                encode, kind = choose_encoder(self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, encode(self.registry), kind)
            case "/livez":
                alive = self.health.alive()
                detail = f"event loop silent for {self.health.silent_for():.1f} s\n" if verbose else ""
                self._answer_health(alive, detail)
            case "/readyz":
                conditions = self.health.conditions()
                lines = (f"[{'+' if holds else '-'}] {name}\n" for name, holds in conditions.items())
                self._answer_health(all(conditions.values()), "".join(lines) if verbose else "")
            case _:
                self._answer(HTTPStatus.NOT_FOUND, b"/metrics, /livez?verbose or /readyz?verbose\n", TEXT)

    do_HEAD = do_GET  # noqa: N815  the name is http.server's

    def _answer_health(self, good: bool, detail: str) -> None:
        status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, f"{detail}{'ok' if good else 'failed'}\n".encode(), TEXT)

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """One line per scrape tells nobody anything."""
