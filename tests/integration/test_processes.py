"""`ctrlrec worker --processes 2`: one that dies is replaced, and both end together."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from ranker.vectors import VECTORS
from streams.settings import Settings
from streams.topics import ensure_topics
from tests.kafkaserver import free_ports
from tests.live import TIMEOUT, Live, live_settings
from tests.load import Load
from tests.unit.tiny_towers import bundle_folder


class Pair:
    """The command, and the two workers that it runs."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.settings, self.log = settings, log
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CTRLREC_")}
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams.cli", "worker", "--processes", "2"],
                env=inherited | settings.environment(),
                stdout=file,
                stderr=file,
            )

    def workers(self) -> list[psutil.Process]:
        children: list[psutil.Process] = psutil.Process(self.process.pid).children()
        return children

    def wait_ready(self) -> None:
        """Each answers on a port of its own."""
        deadline = time.monotonic() + 2 * TIMEOUT
        while not all(self._ready(self.settings.monitoring_port + number) for number in range(2)):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def _ready(self, port: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture
def live(embedded: str, tmp_path: Path) -> Iterator[Live]:
    """Two neighbouring free ports, as far as anybody can know."""
    port = next(port for port in free_ports(20) if _free(port) and _free(port + 1))
    settings = live_settings(embedded, bundle_folder(), monitoring_port=port)
    live = Live(settings, tmp_path)
    yield live
    live.close()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_one_that_dies_is_replaced_and_all_end_together(live: Live, tmp_path: Path) -> None:
    pair = Pair(live.settings, tmp_path / "pair.log")
    try:
        pair.wait_ready()
        load = Load(live, 50)
        load.ask()
        load.start()
        before = pair.workers()
        assert len(before) == 2
        if sys.platform == "linux":
            for worker in before:
                kilobytes = _mapped(worker.pid, VECTORS)
                assert kilobytes["Shared_Clean"] + kilobytes["Shared_Dirty"] > 0  # dirty while it is new to the disk
                assert kilobytes["Private_Clean"] == kilobytes["Private_Dirty"] == 0
        before[0].kill()
        before[0].wait(10)
        live.outputs.until(lambda: len(pair.workers()) == 2 and before[0] not in pair.workers())
        pair.wait_ready()
        after = pair.workers()
        assert before[1] in after
        load.stop()
        load.check("one of two processes killed")
        began = time.monotonic()
        pair.process.send_signal(signal.SIGTERM)
        assert pair.process.wait(30) == 0, pair.log.read_text()
        print(f"both ended {time.monotonic() - began:.1f} s after SIGTERM")
        assert not any(worker.is_running() for worker in after)
        assert "worker 0 ended with -9; another starts in 1 s" in pair.log.read_text()
    finally:
        pair.process.kill()
        pair.process.wait()


def _mapped(process: int, file: str) -> Counter[str]:
    """What Linux says of a file that a process has mapped into its memory, in kB."""
    found, kilobytes = False, Counter[str]()
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):  # the next mapping
            found = line.endswith(f"/{file}")
        elif found and rest[-1] == "kB":
            kilobytes[name[:-1]] += int(rest[0])
    return kilobytes


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the workers")
def test_no_worker_outlives_the_command(live: Live, tmp_path: Path) -> None:
    pair = Pair(live.settings, tmp_path / "pair.log")
    pair.wait_ready()
    workers = pair.workers()
    pair.process.kill()
    pair.process.wait()
    _gone, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []


def test_what_cannot_start_ends_at_once(embedded: str, tmp_path: Path) -> None:
    settings = live_settings(embedded, tmp_path / "none")
    ensure_topics(settings)
    pair = Pair(settings, tmp_path / "pair.log")
    assert pair.process.wait(60) == 2
    lines = pair.log.read_text().strip().splitlines()
    assert len(lines) == 1
    assert "manifest.json is missing" in lines[0]
    settings = msgspec.structs.replace(settings, bundle=bundle_folder(), kafka_bootstrap="127.0.0.1:1")
    pair = Pair(settings, tmp_path / "pair.log")
    assert pair.process.wait(60) == 2
    assert "127.0.0.1:1 refuses connections" in pair.log.read_text()
