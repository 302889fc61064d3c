"""`python -m tests.pictures`: two workers under traffic for some minutes. They get a new bundle, and one of them hangs for a
while; then docs/img."""

import json
import os
import random
import signal
import tempfile
import threading
import time
from argparse import ArgumentParser
from math import isfinite, nan
from pathlib import Path

from kafka import KafkaProducer

from monitoring.dashboards.build import Panel
from monitoring.generate import DASHBOARDS, ROOT
from ranker.data import load_dataset
from ranker.store import Store
from streams.broker import EmbeddedBroker
from streams.kafka import kafka_python_connection
from streams.settings import Settings
from streams.supervise import WorkerProcess
from streams.topics import ensure_topics
from tests.live import ITEMS, candidates, live_settings, request
from tests.pictures.draw import Line, Span, draw, legend
from tests.prometheus import SHORTER, Prometheus, shorter_rules
from tests.unit.queries import plain
from tests.unit.tiny_towers import data, reseal
from tests.wordbundle import usual_requests, word_bundle

MINUTES, RATE = 4.0, 12.0
SWAPPED_AT = 0.3
"""A new bundle is activated after this share of the time."""
PAUSED_FROM, PAUSED_FOR = 0.55, 14.0
"""One of the two workers hangs after this share of the time, for so many seconds: more than its session, so that the
other takes its partitions over."""
STEP = 2
RATE_INTERVAL = "12s"


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--into", type=Path, default=ROOT / "docs/img")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, EmbeddedBroker() as broker:
        folder = Path(name)
        store = Store(folder / "store")
        first = store.add(word_bundle(folder / "bundle"))
        reseal(folder / "bundle", name="words again")
        second = store.add(folder / "bundle")
        store.activate(first)
        settings = live_settings(
            broker.bootstrap, folder / "store", fetch_wait=0.05, canary_interval=10.0, session_timeout=10.0,
            topic_prefix="feed.",
        )  # fmt: skip
        ensure_topics(settings)
        workers = [WorkerProcess(settings, folder / f"worker{number}.log") for number in range(2)]
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.wait_ready(120)
            targets = {"ctrlrec": [worker.monitoring for worker in workers]}
            with Prometheus(folder, targets, [shorter_rules(folder)]) as prometheus:
                time.sleep(3)
                began = time.time()
                swap = threading.Timer(SWAPPED_AT * options.minutes * 60, store.activate, [second])
                swap.start()
                _traffic(settings, workers[0], options.minutes * 60)
                swap.join()
                hung = PAUSED_FROM * options.minutes
                span = Span(hung, hung + PAUSED_FOR / 60, f"a worker hangs for {PAUSED_FOR:g} s")
                draw_all(prometheus, began, time.time(), options.into, span)
        finally:
            for worker in workers:
                worker.kill()


def _traffic(settings: Settings, victim: WorkerProcess, length: float) -> None:
    """Readers come, ask for something usual, and see their feeds; now and then an item, a bad event, an odd request."""
    rng, usual = random.Random(9), [each.text for each in usual_requests()]
    texts = load_dataset(data()).catalogue.texts()
    producer = KafkaProducer(**kafka_python_connection(settings), linger_ms=2)

    def send(topic: str, key: str, value: bytes) -> None:
        producer.send(settings.topic(topic), value, key=key.encode())

    began, number, paused = time.monotonic(), 0, False
    while (now := time.monotonic() - began) < length:
        if not paused and now > PAUSED_FROM * length:
            paused = True
            os.kill(victim.process.pid, signal.SIGSTOP)
        if paused and now > PAUSED_FROM * length + PAUSED_FOR:
            os.kill(victim.process.pid, signal.SIGCONT)
        reader = f"reader {number % 700}"
        if number < 700:
            text = rng.choice(usual) if rng.random() < 0.97 else "zxqv wkjh qqpx"
            send("requests", reader, json.dumps(request(reader, text)).encode())
        known = f"reader {rng.randrange(max(1, min(number, 700) - 20))}" if rng.random() < 0.95 else "somebody"
        ids = [*rng.sample(ITEMS, rng.randrange(20, 50)), *(["unheard of"] if rng.random() < 0.05 else [])]
        event = candidates(known, item_ids=ids, base_scores=[rng.random() for _ in ids])
        send("candidates", known, json.dumps(event).encode())
        if number % 20 == 0:
            item = {"item_id": f"new {number}", "text": rng.choice(texts)}
            send("items", f"new {number}", json.dumps(item).encode())
        if number % 900 == 500:
            send("requests", reader, b"{")
        number += 1
        time.sleep(1 / RATE)
    producer.close(timeout=5)


def draw_all(prometheus: Prometheus, began: float, ended: float, into: Path, span: Span) -> None:
    """Every row of every dashboard, from what was recorded between the two times."""

    def lines(panel: Panel) -> list[Line]:
        found = []
        for query, pattern in panel.queries:
            expr = plain(query).replace("[1m]", f"[{RATE_INTERVAL}]")
            if panel.kind != "timeseries":  # what is so at the end, and not what once was
                for series in prometheus.ask("query", query=expr, time=str(ended))["result"]:
                    labels, value = series["metric"], float(series["value"][1])
                    name = " ".join(labels.values()) if panel.kind == "table" else legend(pattern, labels)
                    found.append(Line(name, [(ended - began) / 60], [value]))
                continue
            answer = prometheus.ask("query_range", query=expr, start=str(began), end=str(ended), step=str(STEP))
            for series in answer["result"]:
                points = {round(float(at) - began): float(value) for at, value in series["values"]}
                # What was not recorded is a gap, and no straight line across it.
                moments = range(0, round(ended - began) + 1, STEP)
                values = [points.get(at, nan) if isfinite(points.get(at, nan)) else nan for at in moments]
                if any(map(isfinite, values)):
                    found.append(Line(legend(pattern, series["metric"]), [at / 60 for at in moments], values))
        return found

    note = f"Two workers on a test's broker. Windows are {SHORTER} times as short as they say: 1 h is {3600 // SHORTER} s here."
    for name, dashboard in DASHBOARDS.items():
        for number, row in enumerate(dashboard.rows, 1):
            draw(row, lines, into / f"{name}-{number}.png", note, span)


if __name__ == "__main__":
    main()
