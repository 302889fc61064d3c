"""The processes that are measured: a worker, a Quix Streams application that does the same, and one that does nothing."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import msgspec

from streams.settings import Settings
from streams.supervise import STOP_TIMEOUT, WorkerProcess
from tests.bench.cores import Cores

OUTPUT = "dead-letters"
"""A topic with as many partitions as the rankings, where the others send their own."""


class Contender(Protocol):
    """Answers candidate lists from `start` to `stop`."""

    @property
    def pid(self) -> int: ...
    def start(self) -> None: ...
    def alive(self) -> bool: ...
    def stop(self) -> None: ...


class Ours:
    """`ctrlrec worker`."""

    def __init__(self, settings: Settings, log: Path, cores: Cores) -> None:
        self._worker = WorkerProcess(settings, log, wrap=cores.wrap)
        self.start, self.wait_ready = self._worker.start, self._worker.wait_ready

    @property
    def pid(self) -> int:
        return self._worker.process.pid

    def alive(self) -> bool:
        return self._worker.process.poll() is None

    def stop(self) -> None:
        if self._worker.stop():
            raise RuntimeError(f"the worker did not end well, see {self._worker.log}")


class Other:
    """`tests.bench.peer`, or `tests.bench.echo`."""

    def __init__(self, module: str, settings: Settings, log: Path, cores: Cores) -> None:
        self._module = module
        self._settings = msgspec.structs.replace(settings, group=f"{settings.group}-{module}")
        self._log, self._wrap = log, cores.wrap
        self._process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._wrap, sys.executable, "-m", f"tests.bench.{self._module}"],
                env=os.environ | self._settings.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def cpu_seconds(pid: int) -> float:
    """What all threads of a process have used, to 10 ms; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
