"""Sending dead letters back to where they came from, once what was wrong is mended.

At least once, as everything here: a letter is done when the broker has confirmed both the record that was sent back and
its receipt (see `streams.receipts`), so an end in between sends at most one chunk again, with the same event ids.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from kafka import KafkaProducer
from kafka.errors import KafkaError

from ranker.errors import BrokerError
from streams.deadletters import PREFIX, REDRIVEN
from streams.kafka import broker_errors, explained, kafka_python_connection
from streams.letters import Letter, Wanted, letters, read
from streams.receipts import Receipts, receipts
from streams.scan import partitions, scan
from streams.settings import Settings
from streams.superseded import ItemsSince, superseded
from streams.topics import SOURCES

CHUNK = 100
CONFIRM_TIMEOUT = 60.0


class Plan(NamedTuple):
    """What a redrive would do; letters without their records, of which there may be many."""

    send: list[Letter]
    drop: list[Letter]
    """Superseded: they get a receipt and are not sent. Those that are superseded before their turn comes go here, too."""
    left: Counter[str]
    """Why → how many."""
    done: int
    """How many have a receipt already."""


def reason_to_leave(letter: Letter, cap: int, there: Mapping[str, Collection[int]]) -> str:
    """Why it cannot be sent back; empty if it can. `there`: the partitions of each topic."""
    if letter.topic is None:
        return "its headers do not say where it came from"
    if letter.source_partition not in there[letter.topic]:
        return "the partition that it came from is not there"
    if letter.cut:
        return "too large to have been kept whole"
    if letter.attempt > cap:
        return f"sent back {cap} times already"
    return ""


def plan(settings: Settings, wanted: Wanted, *, cap: int, limit: int | None = None) -> Plan:
    """Look, and change nothing. Raises BrokerError."""
    receipts_so_far, there = Receipts.of(settings), partitions(settings, SOURCES)
    chosen: list[Letter] = []
    left: Counter[str] = Counter()
    done = 0
    for letter in letters(settings, wanted):
        if letter in receipts_so_far:
            done += 1
        elif reason := reason_to_leave(letter, cap, there):
            left[reason] += 1
        else:
            # Which ones are superseded depends on what is in them; a candidate list never is.
            chosen.append(letter if letter.topic != "candidates" else letter._replace(record=None))
    chosen.sort(key=lambda letter: (letter.time, letter.partition, letter.offset))
    old = superseded(settings, chosen)
    light = [letter._replace(record=None) for letter in chosen]
    drop = [letter for letter in light if (letter.partition, letter.offset) in old]
    send = [letter for letter in light if (letter.partition, letter.offset) not in old]
    return Plan(send[:limit], drop, left, done)


def redrive(
    settings: Settings,
    planned: Plan,
    *,
    rate: float,
    progress: Callable[[int], object] = lambda done: None,
) -> int:
    """Do it, at most `rate` letters a second; returns how many were sent. `progress` hears how many so far.

    Raises BrokerError; what was confirmed until then has its receipt.
    """
    with broker_errors(settings):
        producer = KafkaProducer(
            **kafka_python_connection(settings),
            acks="all",
            linger_ms=5,
            max_block_ms=30_000,
            max_request_size=1_100_000,
            allow_auto_create_topics=False,
        )
        try:
            redriver = _Redriver(settings, producer, planned)
            for first in range(0, len(planned.drop), CHUNK):
                redriver.receipt(planned.drop[first : first + CHUNK])
            return redriver.send(planned.send, rate, progress)
        finally:
            producer.close(timeout=5)


class _Redriver:
    def __init__(self, settings: Settings, producer: Any, planned: Plan) -> None:
        self._settings, self._producer, self._drop = settings, producer, planned.drop
        self._items = ItemsSince(settings, [letter for letter in planned.send if letter.topic == "items"])
        self._receipts = settings.topic("redriven")
        if not producer.partitions_for(self._receipts):
            raise BrokerError(f"there is no topic {self._receipts}; `ctrlrec topics` creates it")

    def send(self, chosen: Collection[Letter], rate: float, progress: Callable[[int], object]) -> int:
        places = {(letter.partition, letter.offset) for letter in chosen}
        starts: dict[int, int] = {}
        stops: dict[int, int] = {}
        for partition, offset in places:
            starts[partition] = min(offset, starts.get(partition, offset))
            stops[partition] = max(offset + 1, stops.get(partition, 0))
        began, sent, chunk = time.monotonic(), 0, list[Letter]()
        size = max(1, min(CHUNK, round(rate)))
        for record in scan(self._settings, "dead-letters", starts, stops):
            if (record.partition, record.offset) not in places:
                continue
            chunk.append(read(self._settings, record))
            if len(chunk) == size:
                sent += self._send_chunk(chunk)
                chunk = []
                progress(sent)
                time.sleep(max(0.0, began + sent / rate - time.monotonic()))
        sent += self._send_chunk(chunk)
        progress(sent)
        return sent

    def _send_chunk(self, chunk: list[Letter]) -> int:
        """Send, wait for the broker, and only then write the receipts of what it has confirmed."""
        futures = [(letter, self._send_back(letter)) for letter in self._without_superseded(chunk)]
        confirmed: list[Letter] = []
        failure: KafkaError | None = None
        for letter, future in futures:
            try:
                future.get(timeout=CONFIRM_TIMEOUT)
                confirmed.append(letter)
            except KafkaError as error:
                failure = failure or error
        self.receipt(confirmed)
        if failure is not None:
            raise BrokerError(f"{explained(failure, self._settings)}; run it again to go on") from failure
        return len(confirmed)

    def _without_superseded(self, chunk: list[Letter]) -> list[Letter]:
        """Of an item the last record counts. (Of a user's requests the newest does, whenever it is read.)"""
        if not any(letter.topic == "items" for letter in chunk):
            return chunk
        self._items.look()
        old = [letter for letter in chunk if letter.topic == "items" and self._items.newer(letter)]
        self.receipt(old)
        self._drop += [letter._replace(record=None) for letter in old]
        return [letter for letter in chunk if letter not in old]

    def _send_back(self, letter: Letter) -> Any:
        """The original, to the partition that its sender had chosen; dated now, or retention might take it unread."""
        record = letter.record
        own = [(name, value or b"") for name, value in record.headers if not name.startswith(PREFIX)]
        headers = [(name, value) for name, value in own if name != REDRIVEN]
        headers.append((REDRIVEN, str(letter.attempt).encode()))
        topic = self._settings.topic(letter.topic or "")
        return self._producer.send(
            topic, record.value, key=record.key, headers=headers, partition=letter.source_partition
        )

    def receipt(self, some: list[Letter]) -> None:
        futures = [
            self._producer.send(self._receipts, value, partition=partition)
            for partition, value in receipts(some).items()
        ]
        for future in futures:
            future.get(timeout=CONFIRM_TIMEOUT)
