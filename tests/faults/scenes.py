"""Real faults, each with a worker, readers and a job of its own."""

import json
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any, Literal

from kafka import KafkaProducer

from streams.kafka import kafka_python_connection
from streams.settings import Settings
from streams.supervise import WorkerProcess
from streams.topics import ensure_topics
from tests.live import ITEMS, candidates, request
from tests.proxy import Proxy
from tests.unit.slow_towers import SLOW
from tests.wordbundle import MUTE, usual_requests, word_cosines

RATE = 6.0
"""Readers a second, each with a request and a list."""
AHEAD = 8
"""A reader's list comes so many readers after the request, which is in force by then."""
WELL = 40
"""So many readers come before a worker is harmed."""
STOPPED, RUNNING = 0.6, 0.4
"""Seconds of each second that a throttled worker has no processor, and has it."""


@dataclass
class Fault:
    """What happens to a worker, and what must be said of it."""

    name: str
    alert: str
    weight: float = 0.8
    bundle: Literal["words", "shuffled", "slow"] = "words"
    ask: Callable[[random.Random], str] | None = None
    lists: Callable[[random.Random, str], dict[str, Any]] = lambda *_: {}
    """What is other than usual in a candidate list, by what its reader has asked for."""
    rate: float = RATE
    broken: int = 0
    """Requests that are no JSON."""
    late: float = 0.0
    """Seconds by which the broker's answers come late."""
    harm: "Callable[[Scene], None] | None" = None
    """Done once the worker has ranked for a while."""
    cause: str = ""
    """What the alert must be labelled with."""
    promises: frozenset[str] = frozenset()
    """Budgets that the fault burns: its symptom, not another fault."""
    fired: dict[str, float] = field(default_factory=dict)
    """Alert → seconds from the fault on."""

    @property
    def linked(self) -> bool:
        """Whether it is done to the link to the broker."""
        return bool(self.late) or self.harm is _cut_off

    @property
    def job(self) -> str:
        return "ctrlrec-" + self.name.replace(" ", "-")


def _gibberish(rng: random.Random) -> str:
    letters = "bcdfghjklmnpqrstvwxz"
    return " ".join("".join(rng.choices(letters, k=rng.randint(4, 9))) for _ in range(rng.randint(3, 6)))


def _pause(scene: "Scene") -> None:
    os.kill(scene.worker.process.pid, SIGSTOP)


def _kill(scene: "Scene") -> None:
    os.kill(scene.worker.process.pid, SIGKILL)


def _cut_off(scene: "Scene") -> None:
    scene.link.cut_off()


def _throttle(scene: "Scene") -> None:
    """As a container's limit does: the process has the processor for a part of each second, until it ends."""
    process = scene.worker.process

    def limit() -> None:
        while process.poll() is None:
            for sign, seconds in ((SIGSTOP, STOPPED), (SIGCONT, RUNNING)):
                process.send_signal(sign)
                time.sleep(seconds)

    threading.Thread(target=limit, daemon=True).start()


def causes() -> list[Fault]:
    return [
        Fault("paused worker", "Stalled", harm=_pause, cause="hung"),
        Fault("broker cut off", "Stalled", harm=_cut_off, cause="unreachable"),
        Fault("killed worker", "Down", harm=_kill),
        Fault("gibberish", "OodShift", ask=_gibberish),
        Fault("shuffled vectors", "CanaryFailed", bundle="shuffled"),
        Fault("broken events", "DeadLetters", broken=30),
        Fault(
            "more requests than the tower can take", "LagGrowing", bundle="slow", rate=8.0,
            ask=lambda rng: f"{SLOW} {rng.random()}", promises=frozenset({"FreshnessBurn", "OodShift"}),
        ),  # nobody else asks in such words
    ]  # fmt: skip


def followed() -> list[Fault]:
    """Requests are understood, and rankings do not follow them."""
    burns = frozenset({"AdherenceBurn"})
    one = {"item_ids": ITEMS[:1], "base_scores": [1.0]}
    return [
        Fault("weight of 0", "BaseDominance", weight=0.0, rate=12.0, promises=burns),
        Fault("weight of 0 where all agree", "NoLift", weight=0.0, rate=24.0, lists=_agreed, promises=burns),
        Fault(
            "little weight for odd requests", "OverfitGap", rate=30.0, ask=_now_and_then_gibberish, lists=_distrusted,
            promises=burns,
        ),
        Fault("one item a list", "NoInventory", rate=12.0, lists=lambda *_: one),
    ]  # fmt: skip


def inputs() -> list[Fault]:
    """What readers and the platform send, or the tower has no answer to."""
    text = _usual()[0]
    return [
        Fault("late publisher", "FreshnessBurn", lists=_old, promises=frozenset({"LatencyBurn"})),
        Fault("the same request again and again", "EmbeddingDrift", rate=12.0, ask=lambda _: text),
        Fault("a list in four has a weight of 0", "AdherenceBurn", rate=12.0, lists=_now_and_then_unsteered),
        Fault("mute tower", "AvailabilityBurn", rate=25.0, lists=_mute, promises=frozenset({"DeadLetters"})),
    ]


def _now_and_then_gibberish(rng: random.Random) -> str:
    return _gibberish(rng) if rng.random() < 0.09 else rng.choice(_usual())


def _distrusted(_: random.Random, asked: str) -> dict[str, Any]:
    return {} if asked in _usual() else {"weight": 0.0}


def _now_and_then_unsteered(rng: random.Random, _: str) -> dict[str, Any]:
    return {"weight": 0.0} if rng.random() < 0.25 else {}


def _agreed(rng: random.Random, asked: str) -> dict[str, Any]:
    """Scores that order the items much as the request does."""
    cosines = word_cosines(asked)
    noise = float(cosines.std()) / 2
    return {"base_scores": [cosine + rng.gauss(0, noise) for cosine in cosines.tolist()]}


@cache
def _usual() -> list[str]:
    return [each.text for each in usual_requests()]


def _old(*_: Any) -> dict[str, Any]:
    return {"created_at": time.time() - 6}


def _mute(rng: random.Random, _: str) -> dict[str, Any]:
    return {"request": MUTE} if rng.random() < 0.2 else {}


def slowness() -> list[Fault]:
    """What can be told by its own thresholds only while few workers share the cores."""
    return [
        Fault("late broker", "LatencyBurn", late=0.2, rate=5.0),
        Fault(
            "throttled worker", "LoopBlocked", harm=_throttle, rate=10.0,
            promises=frozenset({"LatencyBurn"}),
        ),
    ]  # fmt: skip


class Scene(threading.Thread):
    """One worker and its readers. The thread publishes until `be_still`; `start` it when the worker is ready."""

    def __init__(self, fault: Fault, settings: Settings, folder: Path, link: Proxy) -> None:
        """`link` is the one to the broker, where the fault is done to it."""
        super().__init__(daemon=True)
        self.fault, self.link, self._settings, self._stopped = fault, link, settings, threading.Event()
        self.began = float("inf")
        ensure_topics(settings)
        self.worker = WorkerProcess(settings, folder / f"{fault.job}.log")
        self._producer = KafkaProducer(**kafka_python_connection(settings), linger_ms=2)

    def run(self) -> None:
        rng = random.Random(self.fault.name)
        asked: list[str] = []
        self.began = time.time()
        for number in count():
            if self._stopped.wait(1 / self.fault.rate):
                return
            reader = f"reader {number}"
            asked.append(self.fault.ask(rng) if self.fault.ask else rng.choice(_usual()))
            scores = rng.sample(range(1000), len(ITEMS))
            self._send("requests", reader, request(reader, asked[-1]))
            if number < self.fault.broken:
                self._producer.send(self._settings.topic("requests"), b"{", key=reader.encode())
            if number >= AHEAD:
                earlier = f"reader {number - AHEAD}"
                event = {"base_scores": list(map(float, scores))} | self.fault.lists(rng, asked[number - AHEAD])
                self._send("candidates", earlier, candidates(earlier, **event))
            if number == WELL and self.fault.harm:
                self.began = time.time()
                self.fault.harm(self)

    def _send(self, topic: str, key: str, event: dict[str, Any]) -> None:
        self._producer.send(self._settings.topic(topic), json.dumps(event).encode(), key=key.encode())

    def be_still(self) -> None:
        """More has no use: leave the cores to the others."""
        self._stopped.set()

    def close(self) -> None:
        self.be_still()
        if self.is_alive():
            self.join()
        self.worker.kill()
        self._producer.close(timeout=1)
