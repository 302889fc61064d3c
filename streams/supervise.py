"""A worker as a process of its own, for whoever starts one beside other things: the demo, the tests, the benchmarks."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from ranker.errors import BrokerError
from streams.settings import Settings

READY_TIMEOUT, STOP_TIMEOUT = 60.0, 30.0


class WorkerProcess:
    """`ctrlrec worker`, from `start` to `stop` or for as long as the context lasts; its log goes to `log`, or to
    where this process' goes."""

    def __init__(self, settings: Settings, log: Path | None, *, wrap: tuple[str, ...] = ()) -> None:
        """`wrap` goes before the command, such as ("taskset", "-c", "0"). Monitoring port 0 takes a free one."""
        port = settings.monitoring_port or _free_port(settings.monitoring_host)
        self.settings = msgspec.structs.replace(settings, monitoring_port=port)
        self._log, self._wrap = log, wrap
        self.process: subprocess.Popen[bytes]

    @property
    def log(self) -> Path:
        assert self._log is not None  # noqa: S101  nobody looks for what goes elsewhere
        return self._log

    @property
    def monitoring(self) -> str:
        return f"http://{self.settings.monitoring_host}:{self.settings.monitoring_port}"

    def start(self) -> None:
        """Return at once; `wait_ready` waits."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CTRLREC_")}
        with self._opened() as log:
            self.process = subprocess.Popen(
                [*self._wrap, sys.executable, "-m", "streams.cli", "worker"],
                env=inherited | self.settings.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT if log else None,
            )

    def _opened(self) -> AbstractContextManager[IO[bytes] | None]:
        if self._log is None:
            return nullcontext()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        return self._log.open("ab")

    def wait_ready(self, timeout: float = READY_TIMEOUT) -> None:
        """Wait for /readyz. Raises BrokerError with the log's last line if the worker ends, or takes too long."""
        deadline = time.monotonic() + timeout
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                lines = self.log.read_text(errors="replace").strip().splitlines()
                raise BrokerError(
                    f"the worker did not become ready: {lines[-1] if lines else 'no word'} (see {self.log})"
                )
            time.sleep(0.05)

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics, by name with labels."""
        with urllib.request.urlopen(f"{self.monitoring}/metrics", timeout=5) as answer:  # noqa: S310  our own address
            lines = answer.read().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit status; nothing happens if it has ended already."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.monitoring}/readyz", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
