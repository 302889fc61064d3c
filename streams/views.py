"""What a worker knows from compacted topics: the controls of its users, and the items that came after the bundle."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from ranker.embed import RequestEmbedder
from ranker.errors import BadEvent
from ranker.rank import Steering
from ranker.vectors import ItemVectors, Quantized
from streams.transport import Record
from streams.wire import decode_control, decode_item_vector

log = logging.getLogger(__name__)


class CompactedTopic:
    """Reads partitions from their beginning and then follows them, outside any consumer group.

    `apply` is given the records in order, a poll at a time. Until `caught_up(partition)` comes back, what was in the
    partition when it was assigned has not all been applied.
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

    async def caught_up(self, partition: int) -> None:
        """Wait until what was there when the partition was assigned has been applied."""
        while (event := self._caught_up.get(partition)) is None:
            await asyncio.sleep(0.01)
        await event.wait()

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
    """The control in force of each user, by partition."""

    def __init__(self, embedder: RequestEmbedder, bundle: str, run: Callable[..., Awaitable[Any]]) -> None:
        """`run(function, *arguments)` calls a function off the event loop."""
        self._embedder, self._bundle, self._run = embedder, bundle, run
        self._users: dict[int, dict[str, Steering]] = {}
        self._since: dict[int, dict[str, float]] = {}

    def of(self, partition: int, user_id: str) -> Steering | None:
        users = self._users.get(partition)
        return users.get(user_id) if users else None

    def keep_only(self, partitions: Collection[int]) -> None:
        for partition in [p for p in self._users if p not in partitions]:
            del self._users[partition], self._since[partition]

    def __len__(self) -> int:
        return sum(map(len, self._users.values()))

    async def apply(self, records: list[Record]) -> None:
        for record in records:
            users = self._users.setdefault(record.partition, {})
            since = self._since.setdefault(record.partition, {})
            user_id = _key(record)
            if record.value is None:
                users.pop(user_id, None)
                since.pop(user_id, None)
                continue
            try:
                control = decode_control(record.value)
            except BadEvent as error:
                log.error("%s[%d]@%d is no control: %s", record.topic, record.partition, record.offset, error)
                continue
            if control.created_at < since.get(user_id, control.created_at):
                continue  # a redelivery of a request that a newer one has replaced
            steering = Steering.of(control)
            if control.bundle != self._bundle:
                vector: Quantized = await self._run(self._embedder.quantized, control.text, control.context)
                steering = steering._replace(bundle=self._bundle, values=vector.floats(), scale=vector.scale)
            users[user_id], since[user_id] = steering, control.created_at


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
            except BadEvent as error:
                log.error("%s[%d]@%d is no item vector: %s", record.topic, record.partition, record.offset, error)
                continue
            vector = Quantized(item.vector, item.scale)
            if item.bundle != self._bundle:
                vector = await self._run(self._embedder.quantized_item, item.text)
            self._items.put(item.item_id, vector)


def _key(record: Record) -> str:
    return record.key.decode() if record.key else ""
