"""python -m tests.soak [--minutes 15]: workers under half their load, while something is killed every half minute.

Two supervised workers on Apache Kafka where KAFKA_HOME names one, which is restarted, too; else on the embedded broker,
which forgets everything when it stops and so is left alone. Every list is numbered; all rankings and dead letters are
read. Requests and items come beside them, and the last of each must be what is kept. The first worker is never killed: it
is the one whose memory is watched.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from ranker.bundle import Bundle
from streams.broker import EmbeddedBroker
from streams.settings import Settings
from streams.topics import ensure_topics
from streams.wire import encode
from tests.account import Account
from tests.asides import KEYS, Asides, Kept
from tests.bench.load import Publisher, publish_singly
from tests.bench.workload import candidate_lists, controls, item_ids, user
from tests.kafkaserver import KafkaServer, free_ports

EVERY = 30.0
"""Seconds between two blows."""
WARM_UP = 180.0
"""Seconds before memory counts, or a third of a shorter run."""
BURST, ITEMS, DISTINCT, BAD = 20_000, 200, 2_000, 100
GROWTH = 0.05
PATIENCE = 120.0
"""Seconds without an outcome after which what is still to come is missing."""


class Figures(NamedTuple):
    rate: float
    inputs: int
    outputs: int
    letters: int
    missing: int
    unlike: int
    repeats: int
    blows: int
    due: int
    """How many there should have been, less one: one that finds nothing to hit comes later."""
    growth: float
    """Of the first worker's memory, from the end of the warm-up to the end."""
    megabytes: float
    requests: Kept
    items: Kept

    def lines(self) -> list[str]:
        return [
            f"inputs {self.inputs:,}  outputs {self.outputs:,}  dead letters {self.letters:,}  missing {self.missing}  "
            f"unlike {self.unlike}  repeats {self.repeats:,}",
            f"{self.rate:,.0f} lists/s, {self.blows} blows ({self.due} at least); the first worker's memory "
            f"{self.megabytes:.0f} MB, {self.growth:+.1%} after the warm-up",
            *(
                f"{kept.events:,} {what}, {kept.letters} dead letters; of {kept.keys} the last is not what is kept: "
                f"{len(kept.wrong)} {', '.join(kept.wrong[:5])}"
                for what, kept in (("requests", self.requests), ("items", self.items))
            ),
        ]

    @property
    def good(self) -> bool:
        sound = not (self.missing or self.unlike or self.requests.wrong or self.items.wrong)
        sound = sound and self.requests.keys == self.items.keys == KEYS
        return sound and self.growth < GROWTH and self.blows >= self.due


class Soak:
    """A broker, the command with its two workers, and the lists."""

    def __init__(self, bundle: Path, folder: Path, server: KafkaServer | None, bootstrap: str) -> None:
        self._server = server
        self.settings = Settings(
            kafka_bootstrap=bootstrap, bundle=bundle.absolute(), topic_prefix="soak.", group="soak", session_timeout=6.0,
            heartbeat_interval=1.5, monitoring_port=free_ports(1)[0],
            embed_cache=1_000,  # full before memory counts
        )  # fmt: skip
        ensure_topics(self.settings)
        loaded = Bundle.load(bundle)
        events = ((control.user_id, encode(control)) for control in controls(loaded))
        publish_singly(bootstrap, self.settings.topic("controls"), self.settings.partitions, events)
        self._lists = [encode(each) for each in candidate_lists(item_ids(bundle), ITEMS, DISTINCT)]
        self._publisher = Publisher(bootstrap, self.settings.topic("candidates"), self.settings.partitions)
        self.account, self.asides, self.sent = Account(self.settings), Asides(self.settings), 0
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CTRLREC_")}
        self._log = (folder / "workers.log").open("wb")
        self._command = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "worker", "--processes", "2"],
            env=inherited | self.settings.environment(),
            stdout=self._log,
            stderr=self._log,
        )

    def publish(self, count: int) -> None:
        for _ in range(count):
            number, self.sent = self.sent, self.sent + 1
            value = self._lists[number % DISTINCT].replace(
                b'"event_id":"e%d"' % (number % DISTINCT), b'"event_id":"e%d"' % number
            )
            if number % BAD == 0:
                value = b'{"number": %d}' % number
            self._publisher.send(number % DISTINCT, user(number % DISTINCT), value)

    def wait(self) -> None:
        """For the first outcome."""
        self.publish(1)
        while not self.account.seen:
            self.account.read(0.5)
            if self._command.poll() is not None:
                raise SystemExit(f"the workers did not start, see {self._log.name}")

    def capacity(self) -> float:
        """Lists a second of both workers, with a backlog."""
        self.publish(BURST)
        began = time.monotonic()
        while len(self.account.seen) < self.sent:
            self.account.read(0.1)
        return BURST / (time.monotonic() - began)

    def run(self, minutes: float, rate: float) -> Figures:
        began, base, blows = time.monotonic(), self.sent, 0
        warm_up = min(WARM_UP, minutes * 20)
        steady = self._workers()[0]
        memory: list[tuple[float, float]] = []
        next_blow = EVERY
        while (now := time.monotonic() - began) < minutes * 60:
            self.publish(base + int(now * rate) - self.sent)
            self.asides.publish(now)
            self.account.read(0.05)
            if not memory or now > memory[-1][0] + 2:
                memory.append((now, steady.memory_info().rss / 1e6))
            if now > next_blow and (what := self._blow(blows)):
                blows, next_blow = blows + 1, next_blow + EVERY
                behind = self.sent - len(self.account.seen)
                print(
                    f"{now / 60:5.1f} min  {what:<28} {self.sent:>9,} sent  {behind:>7,} to come  {memory[-1][1]:.0f} MB",
                    flush=True,
                )
        deadline = time.monotonic() + PATIENCE
        with suppress(RuntimeError):  # what the broker has not confirmed by then is missing below
            self._publisher.flush()
        while len(self.account.seen) < self.sent and time.monotonic() < deadline:
            if self.account.read(0.5):
                deadline = time.monotonic() + PATIENCE
        self.account.read(3)
        after = [megabytes for at, megabytes in memory if at >= warm_up]
        tenth = max(1, len(after) // 10)
        first, last = statistics.median(after[:tenth]), statistics.median(after[-tenth:])
        account = self.account
        return Figures(
            rate, self.sent, len(account.seen) - account.letters, account.letters, self.sent - len(account.seen),
            account.unlike, account.repeats, blows, int(minutes * 60 / EVERY) - 2, last / first - 1, last, *self.asides.kept(),
        )  # fmt: skip

    def _blow(self, number: int) -> str | None:
        """Every third time, and where a killed worker is not back yet, the broker's turn; None if there is nothing to hit."""
        workers = self._workers()
        if self._server and (number % 3 == 2 or len(workers) < 2):
            self._server.stop()
            self._server.launch()
            self._server.wait_ready()
            return "broker restarted"
        if len(workers) < 2:
            return None
        workers[1].kill()
        return "second worker killed"

    def _workers(self) -> list[psutil.Process]:
        """The first, and the second if it runs now."""
        port = str(self.settings.monitoring_port)
        children = psutil.Process(self._command.pid).children()
        return sorted(children, key=lambda child: child.environ()["CTRLREC_MONITORING_PORT"] != port)

    def close(self) -> int:
        self._command.send_signal(signal.SIGTERM)
        try:
            return self._command.wait(40)
        except subprocess.TimeoutExpired:
            self._command.kill()
            return -9


@contextmanager
def broker(folder: Path) -> Iterator[tuple[KafkaServer | None, str]]:
    if home := os.environ.get("KAFKA_HOME"):
        with KafkaServer(Path(home), folder / "kafka") as server:
            yield server, server.bootstrap
    else:
        print("KAFKA_HOME is not set: the embedded broker, which is not restarted")
        with EmbeddedBroker() as embedded:
            yield None, embedded.bootstrap


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--rate", type=float, help="lists a second; half of what both workers do, without")
    parser.add_argument("--bundle", type=Path, default=Path("var/bundle"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ctrlrec-soak-") as name, broker(Path(name)) as (server, bootstrap):
        soak = Soak(arguments.bundle, Path(name), server, bootstrap)
        try:
            soak.wait()
            rate = arguments.rate or soak.capacity() / 2
            print(f"{rate:,.0f} lists/s")
            figures = soak.run(arguments.minutes, rate)
        finally:
            status = soak.close()
    print(*figures.lines(), f"the workers ended with {status}", sep="\n")
    sys.exit(0 if figures.good and status == 0 else 1)


if __name__ == "__main__":
    main()
