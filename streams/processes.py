"""Several workers on one machine: started together, started again when one ends, stopped together.

Each is a process of its own with a monitoring port of its own. Item vectors are mapped into memory from the bundle's
file, so that the processes share them.
"""

import logging
import signal
import time
from collections.abc import Callable
from types import FrameType

import msgspec

from ranker.errors import BundleError, ConfigError
from ranker.store import Store, faults
from streams.kafka import check_reachable
from streams.launch import with_parent
from streams.settings import Settings
from streams.supervise import WorkerProcess
from streams.topics import check_topics
from streams.watchdog import EXIT_FAILURE

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
STEADY = 60.0
"""A worker that lived for so many seconds is started again after the first pause."""
INTERVAL, GRACE = 0.1, 3.0
REFUSED = 2
"""Exit status of a worker that cannot start as it is configured."""


class Slot:
    """One of the workers, and those that took its place."""

    def __init__(self, number: int, start: Callable[[int], WorkerProcess]) -> None:
        self.number, self._start = number, start
        self.worker: WorkerProcess | None = None
        self.starts = 0
        self._pause, self._due, self._began = FIRST_PAUSE, 0.0, 0.0

    def tend(self, now: float) -> int | None:
        """Start it when it is due; the exit status if it has just ended."""
        if self.worker is None:
            if now >= self._due:
                self.worker, self._began = self._start(self.number), now
                self.starts += 1
            return None
        status = self.worker.process.poll()
        if status is not None:
            self.worker = None
            if now - self._began >= STEADY:
                self._pause = FIRST_PAUSE
            self._due = now + self._pause
            log.error("worker %d ended with %d; another starts in %.0f s", self.number, status, self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return status


def run_processes(settings: Settings, count: int) -> int:
    """Serve with `count` workers until SIGTERM or SIGINT; the exit status.

    That of number n has monitoring port CTRLREC_MONITORING_PORT + n. Raises BundleError, BrokerError or ConfigError when
    none could start.
    """
    if settings.monitoring_port and settings.monitoring_port + count > 65_536:
        raise ConfigError(f"CTRLREC_MONITORING_PORT: there are no {count} ports from {settings.monitoring_port} on")
    check_reachable(settings)
    check_topics(settings)
    # The workers look for themselves; here once, so that a damaged bundle is named once.
    if not Store(settings.bundle) and (wrong := faults(settings.bundle)):  # of a store they serve what is whole
        raise BundleError("; ".join(wrong))
    stopping: list[int] = []

    def stop(sign: int, _frame: FrameType | None) -> None:
        stopping.append(sign)

    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, stop)

    def start(number: int) -> WorkerProcess:
        port = settings.monitoring_port and settings.monitoring_port + number
        own = msgspec.structs.replace(settings, monitoring_port=port)
        worker = WorkerProcess(own, None, wrap=with_parent(signal.SIGTERM))
        worker.start()
        log.info("worker %d is process %d, metrics on %s", number, worker.process.pid, worker.monitoring)
        return worker

    slots = [Slot(number, start) for number in range(count)]
    while not stopping:
        for slot in slots:
            if slot.tend(time.monotonic()) == REFUSED and slot.starts == 1:
                _stop(slots, settings)
                return REFUSED  # it has said why
        time.sleep(INTERVAL)
    return _stop(slots, settings)


def _stop(slots: list[Slot], settings: Settings) -> int:
    """End all of them, side by side; 0 if each ended well."""
    running = [slot.worker for slot in slots if slot.worker]
    for worker in running:
        worker.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + settings.drain_timeout + GRACE
    while time.monotonic() < deadline and any(worker.process.poll() is None for worker in running):
        time.sleep(INTERVAL)
    for worker in running:
        if worker.process.poll() is None:
            worker.kill()
    # One that was still starting ends by the signal itself, with nothing in hand.
    well = {0, -signal.SIGTERM}
    return 0 if all(worker.process.returncode in well for worker in running) else EXIT_FAILURE
