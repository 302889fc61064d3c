"""Real faults under a real Prometheus: the alert that is named for a fault fires, and none of the others.

Every fault has a worker and a job of its own, so all of them happen at once, and each job shows that the others' alerts
stay silent. The rules are the ones that are shipped, with every window and wait a twentieth as long; and since several
workers share a test's few cores, what must take 250 ms may take ten times as long.
"""

import json
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGSTOP, Signals
from typing import Any

import msgspec
import pytest
from kafka import KafkaProducer
from rich.console import Console
from rich.table import Table

from monitoring.alerts import failures, objectives
from monitoring.alerts.rules import Links, to_yaml
from streams.kafka import kafka_python_connection
from streams.settings import Settings
from streams.supervise import WorkerProcess
from streams.topics import ensure_topics
from tests.live import ITEMS, candidates, live_settings, request
from tests.prometheus import SHORTER, Prometheus, needs_prometheus, shorter_rules
from tests.unit.test_alerts import ALERTS
from tests.wordbundle import shuffle_items, usual_requests, word_bundle

pytestmark = [pytest.mark.faults, needs_prometheus]

READERS, RATE = 150, 6.0
"""Readers, each with a request and a list, and how many of them a second."""
AHEAD = 8
"""A reader's list comes so many readers after the request, which is in force by then."""
PATIENCE = 150.0
LINGER = 3.0
"""Seconds that an alert fires before the matrix is drawn, so that others have the time to fire, too."""


@dataclass
class Fault:
    """What happens to a worker, and what must be said of it."""

    name: str
    alert: str
    weight: float = 0.8
    shuffled: bool = False
    ask: Callable[[random.Random], str] | None = None
    readers: int = READERS
    rate: float = RATE
    broken: int = 0
    """Requests that are no JSON."""
    signal: Signals | None = None
    """Sent to the worker once it has ranked for a while."""
    promises: frozenset[str] = frozenset()
    """Budgets that the fault burns: its symptom, not another fault."""
    fired: dict[str, float] = field(default_factory=dict)
    """Alert → seconds from the fault on."""

    @property
    def job(self) -> str:
        return "ctrlrec-" + self.name.replace(" ", "-")


def _gibberish(rng: random.Random) -> str:
    letters = "bcdfghjklmnpqrstvwxz"
    return " ".join("".join(rng.choices(letters, k=rng.randint(4, 9))) for _ in range(rng.randint(3, 6)))


def _faults() -> list[Fault]:
    return [
        Fault("paused worker", "Stalled", signal=SIGSTOP),
        Fault("killed worker", "Down", signal=SIGKILL),
        Fault(
            "weight of 0", "BaseDominance", weight=0.0, readers=330, rate=12.0, promises=frozenset({"AdherenceBurn"})
        ),
        Fault("gibberish", "OodShift", ask=_gibberish),
        Fault("shuffled vectors", "CanaryFailed", shuffled=True),
        Fault("broken events", "DeadLetters", broken=30),
    ]


class Scene(threading.Thread):
    """One worker and its readers. The thread publishes; `start` it when the worker is ready."""

    def __init__(self, fault: Fault, settings: Settings, folder: Path) -> None:
        super().__init__(daemon=True)
        self.fault, self._settings, self._stopped = fault, settings, threading.Event()
        self.began = float("inf")
        ensure_topics(settings)
        self.worker = WorkerProcess(settings, folder / f"{fault.job}.log")
        self._producer = KafkaProducer(**kafka_python_connection(settings), linger_ms=2)

    def run(self) -> None:
        rng = random.Random(self.fault.name)
        usual = [each.text for each in usual_requests()]
        self.began = time.time()
        for number in range(self.fault.readers):
            if self._stopped.wait(1 / self.fault.rate):
                return
            reader = f"reader {number}"
            text = self.fault.ask(rng) if self.fault.ask else rng.choice(usual)
            scores = rng.sample(range(1000), len(ITEMS))
            self._send("requests", reader, request(reader, text))
            if number < self.fault.broken:
                self._producer.send(self._settings.topic("requests"), b"{", key=reader.encode())
            if number >= AHEAD:
                earlier = f"reader {number - AHEAD}"
                self._send("candidates", earlier, candidates(earlier, base_scores=list(map(float, scores))))
            if number == 40 and self.fault.signal:
                self.began = time.time()
                os.kill(self.worker.process.pid, self.fault.signal)

    def _send(self, topic: str, key: str, event: dict[str, Any]) -> None:
        self._producer.send(self._settings.topic(topic), json.dumps(event).encode(), key=key.encode())

    def close(self) -> None:
        self._stopped.set()
        if self.is_alive():
            self.join()
        self.worker.kill()
        self._producer.close(timeout=1)


@pytest.fixture
def scenes(embedded: str, tmp_path: Path) -> Iterator[list[Scene]]:
    """Workers that are ready and under traffic soon."""
    whole, shuffled = word_bundle(tmp_path / "bundle"), word_bundle(tmp_path / "shuffled")
    shuffle_items(shuffled)
    made: list[Scene] = []
    try:
        for fault in _faults():
            settings = live_settings(
                embedded, shuffled if fault.shuffled else whole, weight=fault.weight, partitions=1, fetch_wait=0.1,
                canary_interval=5.0,
            )  # fmt: skip
            made.append(Scene(fault, settings, tmp_path))
            made[-1].worker.start()
        for scene in made:
            scene.worker.wait_ready(120)
        yield made
    finally:
        for scene in made:
            scene.close()


def test_a_fault_fires_its_alert_and_no_other(scenes: list[Scene], tmp_path: Path) -> None:
    workers = {scene.fault.job: [scene.worker.monitoring] for scene in scenes}
    prometheus = Prometheus(tmp_path, workers, [shorter_rules(tmp_path)])
    prometheus.start()
    try:
        prometheus.wait_ready()
        deadline = time.monotonic() + PATIENCE
        while prometheus.values("sum(up)") != [float(len(scenes))] and time.monotonic() < deadline:
            time.sleep(0.5)
        time.sleep(2)  # a counter must have been seen before it rises
        for scene in scenes:
            scene.start()
        while any(_open(scene) for scene in scenes) and time.monotonic() < deadline:
            _look(prometheus, scenes)
            time.sleep(0.5)
        held = {
            scene.fault.job: prometheus.ask("query", query=f'ALERTS{{job="{scene.fault.job}"}}') for scene in scenes
        }
    finally:
        prometheus.stop()
    Console(width=150).print(_matrix([scene.fault for scene in scenes]))
    for fault in (scene.fault for scene in scenes):
        assert fault.alert in fault.fired, (fault.name, fault.fired, held[fault.job])
        assert set(fault.fired) - fault.promises == {fault.alert}, (fault.name, fault.fired)


def _open(scene: Scene) -> bool:
    """Whether more is to be seen of it: its alert has not fired, or not for long."""
    first = scene.fault.fired.get(scene.fault.alert)
    return first is None or time.time() < scene.began + first + LINGER


def _look(prometheus: Prometheus, scenes: list[Scene]) -> None:
    """Note which alerts fire, of scenes that are still open: a worker that has been paused for long is down, too."""
    firing = {(one["labels"].get("job", ""), one["labels"]["alertname"])
              for one in prometheus.ask("alerts")["alerts"] if one["state"] == "firing"}  # fmt: skip
    for scene in filter(_open, scenes):
        for job, alert in firing:
            if job == scene.fault.job:
                scene.fault.fired.setdefault(alert, max(0.0, time.time() - scene.began))


def _matrix(faults: list[Fault]) -> Table:
    """Faults by alerts; in a cell the seconds from the fault to the alert."""
    causes = sorted({alert.name for alert in ALERTS})
    seen = [name for name in causes if any(name in fault.fired or name == fault.alert for fault in faults)]
    silent = [name for name in causes if name not in seen]
    table = Table(
        "fault", *seen, title=f"seconds to fire, windows {SHORTER} times shorter; silent: {', '.join(silent)}"
    )
    for fault in faults:
        table.add_row(fault.name, *(f"{fault.fired[name]:.0f}" if name in fault.fired else "·" for name in seen))
    return table


def test_windows_are_shortened_and_nothing_else(tmp_path: Path) -> None:
    text = shorter_rules(tmp_path).read_text()
    groups = objectives.RECORDING + failures.RECORDING + objectives.ALERTS + failures.ALERTS
    whole = to_yaml(groups, Links())
    assert "[180s]" in text
    windows = r"\[\d+\w\]|for: \d+\w|le=\"[\d.]+\""
    assert re.sub(windows, "", text) == re.sub(windows, "", whole)
    assert not re.search(r"\[\d+[mhd]\]|for: \d+[mhd]", text)


def test_a_setting_of_0_is_what_a_worker_reads() -> None:
    """Otherwise the fault would be none."""
    settings = msgspec.structs.replace(Settings(), weight=0.0)
    assert Settings.from_environment(settings.environment()).weight == 0
