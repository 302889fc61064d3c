"""Faust's aiokafka transport, delivering one message per run of records instead of one per record.

Faust spends two tasks, a queue passage and an acknowledgement on each message. Here a message is a *run*: records of one
topic, up to `run_length` of them, that were fetched together, consecutive ones of each partition.
"""

from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Any, NamedTuple, Protocol

from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import notify

from streams.headernames import accept_any_header_name
from streams.loop import Loop
from streams.patience import fetch_patiently
from streams.progress import Progress

RUN_BYTES = 4 << 20
"""A run has no more than that, unless it is one record: many runs wait for each other."""
HEADER_LENGTHS = 4
"""Bytes that a header has beside its name and its value, for their lengths: a million empty ones are not nothing."""
SEEK_PAUSE = 0.1
IDLE_FETCH_WAIT = 0.2


class Record(Protocol):
    """A Kafka record, as aiokafka gives it."""

    topic: str
    partition: int
    offset: int
    timestamp_type: int
    timestamp: int
    """Milliseconds."""
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


Records = list[Record]


def headers_size(record: Record) -> int:
    """Bytes of all headers."""
    return sum(HEADER_LENGTHS + len(name.encode()) + len(value or b"") for name, value in record.headers)


def size_of(record: Record) -> int:
    """Bytes of its value, its key and its headers."""
    size = len(record.value or b"") + len(record.key or b"")
    return size + headers_size(record) if record.headers else size


class Part(NamedTuple):
    """Consecutive records of one partition. It covers the offsets from `start` up to, not including, `end`.

    `start` is where the part before it ended, so that offsets without a record (compacted away, or the markers of
    transactions) belong to a part too and the committed offset moves past them.
    """

    tp: TP
    records: Records
    start: int

    @property
    def end(self) -> int:
        return self.records[-1].offset + 1

    @property
    def size(self) -> int:
        """Bytes of all records."""
        return sum(map(size_of, self.records))


class Run(ConsumerMessage):
    """Parts of one topic. `value` has their records, those of a partition in order; of itself it has the first one's place."""

    value: Records

    def __init__(self, parts: list[Part], generation_id: int) -> None:
        self.parts = parts
        tp, first = parts[0].tp, parts[0].records[0]
        super().__init__(
            tp.topic, tp.partition, first.offset, first.timestamp / 1000, first.timestamp_type, None, None,
            list(chain.from_iterable(part.records for part in parts)), None, 0, 0, tp, generation_id=generation_id,
        )  # fmt: skip

    @property
    def partitions(self) -> set[int]:
        return {part.tp.partition for part in self.parts}

    def keep(self, partitions: set[int]) -> None:
        """Leave out the parts of all others."""
        self.parts = [part for part in self.parts if part.tp.partition in partitions]
        self.value = list(chain.from_iterable(part.records for part in self.parts))


def slices(records: Records, most: int) -> Iterator[Records]:
    """At most so many records in a row, with no more than RUN_BYTES between them, unless it is one."""
    first = size = 0
    for place, more in enumerate(map(size_of, records)):
        if place > first and (place - first == most or size + more > RUN_BYTES):
            yield records[first:place]
            first, size = place, 0
        size += more
    yield records[first:]


class QuickThread(driver.AIOKafkaConsumerThread):
    """Faust lets every fetch wait 1.5 s at the broker."""

    async def on_start(self) -> None:
        accept_any_header_name()
        await super().on_start()
        wait = self.consumer.app.settings.fetch_wait
        fetch_patiently(self._consumer, wait, max(wait, IDLE_FETCH_WAIT))

    def positions(self) -> dict[TP, int]:
        """Where each partition is fetched from next. At once, from any thread; aiokafka's own way may wait."""
        subscription = self._consumer and self._consumer._subscription.subscription
        assignment = subscription and subscription.assignment
        if not assignment:
            return {}
        found = {TP(tp.topic, tp.partition): assignment.state_value(tp)._position for tp in assignment.tps}
        return {tp: position for tp, position in found.items() if position is not None}


class RunConsumer(driver.Consumer):
    """Delivers and acknowledges runs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._progress: dict[TP, Progress] = {}
        self._passed: dict[TP, int] = {}
        """Offsets up to which there is nothing more to deliver: a transaction's marker has one, and is no record."""
        self._seeks = 0
        self._run_length = self.app.settings.run_length

    def _new_consumer_thread(self) -> QuickThread:
        return QuickThread(self, loop=self.loop, thread_loop=Loop(), beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Go back to the committed offsets, or the first; what is in flight may finish, but no longer counts as progress."""
        self._seeks += 1
        self._progress.clear()
        self._passed.clear()
        await super().perform_seek()
        # aiokafka moves to committed offsets above 0 alone; elsewhere what was fetched and not delivered would be passed over.
        unmoved = [tp for tp in self.assignment() if tp in self._read_offset and not self._read_offset[tp]]
        if unmoved:
            await self._thread.seek_to_beginning(*map(driver.ensure_aiokafka_TP, unmoved))
        for tp, offset in self._read_offset.items():
            if offset is not None:
                self._progress[tp] = Progress(offset)

    def on_buffer_full(self, tp: TP) -> None:
        """A topic's partitions share its queue: one that alone was paused would starve behind the others."""
        for each in self.assignment():
            if each.topic == tp.topic:
                super().on_buffer_full(each)

    def on_buffer_drop(self, tp: TP) -> None:
        for each in self.assignment():
            if each.topic == tp.topic:
                super().on_buffer_drop(each)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._progress.pop(tp, None)
            self._passed.pop(tp, None)

    async def verify_all_partitions_active(self) -> None:
        """Nothing: Faust only logs what it finds, and fails at a partition that has just been assigned. `streams.watchdog`
        and the lag stand in its place."""

    async def _drain_messages(self, fetcher: Any) -> None:
        """Fetch and deliver until stopped; the body of Faust's fetcher task."""
        while not (self.should_stop or fetcher.should_stop):
            seeks = self._seeks
            try:
                records, active = await self._wait_next_records(timeout=1.0)
            except self.consumer_stopped_errors:
                if self.app.should_stop:
                    return
                raise
            await self.sleep(0)
            if self.should_stop:
                return
            if not self.flow_active or seeks != self._seeks:
                # A rebalance came between: whether these were fetched before or after its seek cannot be told.
                await self._seek_when_possible()
                continue
            for run in self._take_turns(records or {}, active):
                await self.wait_first(self.callback(run), self.suspend_flow.wait())
                if not self.flow_active or seeks != self._seeks:
                    break  # resuming seeks to the committed offsets, which are at or before this run
                self._read_offset.update({part.tp: part.end for part in run.parts})
            else:  # nothing is between the fetching thread and the agents: what it has passed was delivered, or no record
                self._passed = self._thread.positions()

    async def _seek_when_possible(self) -> None:
        """The next rebalance may begin in the middle of a seek, which then fails for what is taken away."""
        while not self.should_stop:
            try:
                await self.perform_seek()
            except IllegalStateError:
                await self.sleep(SEEK_PAUSE)
            else:
                return

    def _take_turns(self, fetched: dict[TP, Records], active: set[TP] | None) -> Iterator[Run]:
        """The parts of all partitions, one of each in turn, as few runs: to rank a few lists costs as much as some more."""
        cut = [list(self._cut(tp, records)) for tp, records in fetched.items() if active is None or tp in active]
        gathered: dict[str, list[Part]] = {}
        for part in (part for turn in zip_longest(*cut) for part in turn if part is not None):
            parts = gathered.setdefault(part.tp.topic, [])
            if parts and (
                sum(len(each.records) for each in parts) + len(part.records) > self._run_length
                or sum(each.size for each in parts) + part.size > RUN_BYTES
            ):
                yield Run(parts, self.app.consumer_generation_id)
                parts = gathered[part.tp.topic] = []
            parts.append(part)
        for parts in gathered.values():
            yield Run(parts, self.app.consumer_generation_id)

    def _cut(self, tp: TP, records: Records) -> Iterator[Part]:
        tp = TP(tp.topic, tp.partition)
        start = self._read_offset[tp]
        records = [record for record in records if start is None or record.offset >= start]
        if not records:
            return
        if start is None:  # nothing was ever committed here
            start = records[0].offset
        if tp not in self._progress:
            self._progress[tp] = Progress(start)
        for some in slices(records, self._run_length):
            part = Part(tp, some, start)
            start = part.end
            yield part

    def ack(self, run: Run) -> bool:
        """Mark a run as finished; offsets are committed up to the first run that is not."""
        if run.acked:
            return False
        run.acked = True
        self._unacked_messages.discard(run)
        for part in run.parts:
            progress = self._progress.get(part.tp)
            if progress is not None:
                progress.finish(part.start, part.end)
        notify(self._waiting_for_ack)
        return True

    def committed(self) -> dict[tuple[str, int], int]:
        """Committed offset by (topic, partition); where there is none yet, how far what was fetched is done. Markers of
        transactions behind it are done with it."""
        done = {tp: progress.done for tp, progress in self._progress.items()}
        done |= {tp: offset for tp, offset in self._committed_offset.items() if offset is not None}
        for tp, passed in self._passed.items():
            if tp in done and done[tp] == self._read_offset.get(tp):
                done[tp] = max(done[tp], passed)
        return {(tp.topic, tp.partition): offset for tp, offset in done.items()}

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self._progress) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        progress = self._progress.get(tp)
        committed = self._committed_offset[tp]
        return progress.done if progress and progress.done > (committed or 0) else None


class RunTransport(driver.Transport):
    """Put in by `streams.app.App`."""

    Consumer = RunConsumer
