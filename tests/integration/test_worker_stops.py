"""SIGTERM while a worker starts: it ends with 0 at whatever point, soon, also where the broker does not answer."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.broker import EmbeddedBroker
from streams.settings import Settings
from streams.supervise import WorkerProcess
from streams.topics import ensure_topics
from tests.live import TIMEOUT, live_settings
from tests.proxy import Proxy
from tests.unit.tiny_towers import bundle_folder

DRAIN = 15.0


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with Proxy() as proxy, EmbeddedBroker(advertised=proxy.address) as broker:
        proxy.target = "127.0.0.1", broker.port
        yield proxy


@pytest.fixture
def settings(proxy: Proxy) -> Iterator[Settings]:
    settings = live_settings(proxy.address, bundle_folder(), drain_timeout=DRAIN)
    ensure_topics(settings)
    yield settings
    proxy.release()


def ends(worker: WorkerProcess) -> tuple[int, float]:
    """Exit status after SIGTERM, and the seconds that it took."""
    began = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    try:
        return worker.process.wait(TIMEOUT), time.monotonic() - began
    finally:
        worker.kill()


def wait(worker: WorkerProcess, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not reached():
        assert worker.process.poll() is None, worker.log.read_text()
        assert time.monotonic() < deadline, worker.log.read_text()
        time.sleep(0.01)


def test_before_there_is_an_event_loop(proxy: Proxy, settings: Settings, tmp_path: Path) -> None:
    proxy.hold()
    before, worker = proxy.accepted, WorkerProcess(settings, tmp_path / "log")
    worker.start()
    wait(worker, lambda: proxy.accepted > before)  # it asks whether the broker is there
    status, seconds = ends(worker)
    assert status == 0, worker.log.read_text()
    assert seconds < DRAIN


@pytest.mark.parametrize(("begun", "silent"), [("RunConsumer]: Starting", True), ("QuickThread]: Starting", False)])
def test_while_it_joins_the_group(proxy: Proxy, settings: Settings, tmp_path: Path, begun: str, silent: bool) -> None:
    worker = WorkerProcess(settings, tmp_path / "log")
    worker.start()
    wait(worker, lambda: begun in worker.log.read_text())
    if silent:
        proxy.hold()
    status, seconds = ends(worker)
    assert (status, "Traceback" in worker.log.read_text()) == (0, False), worker.log.read_text()
    assert seconds < DRAIN
    print(f"SIGTERM to exit: {seconds:.1f} s")
