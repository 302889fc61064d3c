"""A compacted topic as a worker follows it: from the beginning, and on."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.patience import fetch_patiently
from streams.transport import Record

FETCH_WAIT = 0.02, 0.1
"""Seconds, while records come and while none do."""


class CompactedTopic:
    """Reads partitions from their beginning and then follows them, outside any consumer group.

    `apply` is given the records in order, a poll at a time. What that leaves to be done once the last record of each key is
    known, `settle` does, some at a time, and says whether there is more.
    """

    def __init__(
        self,
        connection: dict[str, Any],
        topic: str,
        apply: Callable[[list[Record]], None],
        settle: Callable[[], Awaitable[bool]],
    ) -> None:
        self.topic, self._apply, self._settle, self._connection = topic, apply, settle, connection
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
        )
        await self._consumer.start()
        fetch_patiently(self._consumer, *FETCH_WAIT)

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
        """Whether all that was there when the partition was assigned has been applied and settled. Not if it is not
        assigned."""
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
        unsettled = False
        while True:
            async with self._busy:
                wait = 0 if unsettled else 50
                polled = await self._consumer.getmany(timeout_ms=wait) if self._consumer.assignment() else {}
                for records in polled.values():
                    self._apply(records)
                reached = [place for place, end in self._targets.items() if await self._consumer.position(place) >= end]
                read = len(reached) == len(self._targets)
                unsettled = read and await self._settle()
                if read and not unsettled:
                    for place in reached:
                        del self._targets[place]
                        self._caught_up[place.partition].set()
            await asyncio.sleep(0 if polled or unsettled else 0.005)
