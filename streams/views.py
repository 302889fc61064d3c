"""What a worker knows from compacted topics: the controls of its users, and the items that came after the bundle."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from ranker.embed import RequestEmbedder
from ranker.errors import BadEvent
from ranker.rank import Steering
from ranker.vectors import ItemVectors, Quantized
from streams.transport import Record
from streams.wire import decode_control, decode_item_vector

log = logging.getLogger(__name__)

CREATED_AT = "ctrlrec.created-at"


class CompactedTopic:
    """Reads partitions from their beginning and then follows them, outside any consumer group.

    `apply` is given the records in order, a poll at a time.
    """

    def __init__(
        self, connection: dict[str, Any], topic: str, apply: Callable[[list[Record]], Awaitable[None]]
    ) -> None:
        self.topic, self._apply, self._connection = topic, apply, connection
        self._caught_up: dict[int, asyncio.Event] = {}
        self._targets: dict[TopicPartition, int] = {}
        self._assigned = asyncio.Event()
        self._busy = asyncio.Lock()

    async def start(self) -> None:
        self._consumer = AIOKafkaConsumer(
            **self._connection,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=20,
        )
        await self._consumer.start()

    async def stop(self) -> None:
        await self._consumer.stop()

    async def assign(self, partitions: Collection[int]) -> None:
        """Follow these partitions from now on, and no others."""
        wanted = {TopicPartition(self.topic, partition) for partition in partitions}
        async with self._busy:
            kept = {place: await self._consumer.position(place) for place in wanted & self._consumer.assignment()}
            self._consumer.assign(wanted)
            for place, position in kept.items():
                self._consumer.seek(place, position)
            new = wanted - kept.keys()
            self._targets = {place: end for place, end in self._targets.items() if place in kept}
            self._targets |= await self._consumer.end_offsets(list(new)) if new else {}
        self._caught_up = {p: self._caught_up.get(p, asyncio.Event()) for p in partitions}
        for place in new:
            self._caught_up[place.partition].clear()
        self._assigned.set()

    def caught_up(self, partition: int) -> bool:
        """Whether all that was there when the partition was assigned has been applied. Not if it is not assigned."""
        event = self._caught_up.get(partition)
        return event is not None and event.is_set()

    async def ends(self, places: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """End offsets of any partitions, (topic, partition)."""
        ends = await self._consumer.end_offsets([TopicPartition(*place) for place in places])
        return {(place.topic, place.partition): end for place, end in ends.items()}

    @property
    def ready(self) -> bool:
        return self._assigned.is_set() and all(event.is_set() for event in self._caught_up.values())

    async def follow(self) -> None:
        """Apply what comes, for ever."""
        await self._assigned.wait()
        while True:
            async with self._busy:
                polled = await self._consumer.getmany(timeout_ms=50) if self._consumer.assignment() else {}
                for records in polled.values():
                    await self._apply(records)
                for place, end in list(self._targets.items()):
                    if await self._consumer.position(place) >= end:
                        del self._targets[place]
                        self._caught_up[place.partition].set()
            await asyncio.sleep(0 if polled else 0.005)


class Controls:
    """The control in force of each user, by partition.

    A control or a withdrawal that is older than the one in force changes nothing: it is a redelivery.
    """

    def __init__(self, embedder: RequestEmbedder, bundle: str, run: Callable[..., Awaitable[Any]]) -> None:
        """`run(function, *arguments)` calls a function off the event loop."""
        self._embedder, self._bundle, self._run = embedder, bundle, run
        self._users: dict[int, dict[str, Steering]] = {}
        self._since: dict[int, dict[str, float]] = {}

    def of(self, partition: int) -> Mapping[str, Steering]:
        """By user, and kept up to date; once the partition is no longer kept, it stays as it was then."""
        return self._users.setdefault(partition, {})

    def keep_only(self, partitions: Collection[int]) -> None:
        for partition in [p for p in self._users if p not in partitions]:
            del self._users[partition]
            self._since.pop(partition, None)

    def __len__(self) -> int:
        return sum(map(len, self._users.values()))

    async def apply(self, records: list[Record]) -> None:
        for record in records:
            users = self._users.setdefault(record.partition, {})
            since = self._since.setdefault(record.partition, {})
            user_id = _key(record)
            try:
                created_at, steering = await self._read(record)
            except BadEvent as error:
                log.error("%s[%d]@%d is no control: %s", record.topic, record.partition, record.offset, error)
                continue
            if created_at < since.get(user_id, created_at):
                continue
            since[user_id] = created_at
            if steering is None:
                users.pop(user_id, None)
            else:
                users[user_id] = steering

    async def _read(self, record: Record) -> tuple[float, Steering | None]:
        """When the control or the withdrawal was made, and what steers from then on."""
        if record.value is None:
            return withdrawn_at(record), None
        control = decode_control(record.value)
        steering = Steering.of(control)
        if control.bundle != self._bundle:
            vector: Quantized = await self._run(self._embedder.quantized, control.text, control.context)
            steering = steering._replace(bundle=self._bundle, values=vector.floats(), scale=vector.scale)
        return control.created_at, steering


class LateItems:
    """Puts the vectors of items that came after the bundle beside the bundle's own."""

    def __init__(
        self, items: ItemVectors, embedder: RequestEmbedder, bundle: str, run: Callable[..., Awaitable[Any]]
    ) -> None:
        self._items, self._embedder, self._bundle, self._run = items, embedder, bundle, run

    async def apply(self, records: list[Record]) -> None:
        for record in records:
            if record.value is None:
                self._items.remove(_key(record))
                continue
            try:
                item = decode_item_vector(record.value)
                vector = Quantized(item.vector, item.scale)
                if item.bundle != self._bundle:
                    vector = await self._run(self._embedder.quantized_item, item.text)
            except BadEvent as error:
                log.error("%s[%d]@%d is no item vector: %s", record.topic, record.partition, record.offset, error)
                continue
            self._items.put(item.item_id, vector)


def _key(record: Record) -> str:
    return record.key.decode(errors="replace") if record.key else ""


def withdrawal(created_at: float) -> tuple[tuple[str, bytes], ...]:
    """Headers of the record without a value that withdraws a control: a value could not say when it was made."""
    return ((CREATED_AT, repr(created_at).encode()),)


def withdrawn_at(record: Record) -> float:
    """When the withdrawal was made; when it was written, where its headers do not say."""
    return next((float(value) for name, value in record.headers if name == CREATED_AT), record.timestamp / 1000)
