"""Everything that a worker sends, confirmed by the broker or sent again until it is.

Records of one run that go to one partition travel as one batch with one future, which costs a tenth of a future each.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0


class Output(NamedTuple):
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Iterable[tuple[str, bytes]] = ()
    timestamp: int | None = None
    """Milliseconds; now, without it."""


class Outbox:
    """A producer whose `send` comes back only when all of its outputs are acknowledged by all in-sync replicas."""

    def __init__(self, connection: dict[str, Any], *, batch_bytes: int = 800_000, max_bytes: int = 1_000_000) -> None:
        self._connection = connection
        self._batch_bytes, self.max_bytes = batch_bytes, max_bytes
        self._producer: AIOKafkaProducer

    async def start(self) -> None:
        self._producer = AIOKafkaProducer(
            **self._connection,
            acks="all",
            max_batch_size=self._batch_bytes,
            max_request_size=self.max_bytes + 100_000,
            request_timeout_ms=120_000,
        )
        await self._producer.start()

    async def stop(self) -> None:
        await self._producer.stop()

    async def partitions(self, topic: str) -> int:
        return len(await self._producer.partitions_for(topic))

    async def send(self, outputs: Iterable[Output], *, single: bool = False) -> None:
        """Send and wait, however long it takes. With `single`, each record is a batch of its own.

        The order is kept within a partition unless something has to be sent again.
        """
        places: dict[tuple[str, int], list[Output]] = defaultdict(list)
        for output in outputs:
            places[output.topic, output.partition].append(output)
        await asyncio.gather(*(self._send_place(*place, records, single) for place, records in places.items()))

    async def _send_place(self, topic: str, partition: int, outputs: list[Output], single: bool) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                await asyncio.gather(*[await self._producer.send_batch(batch, topic, partition=partition)
                                       for batch in self._batches(outputs, single)])  # fmt: skip
            except (KafkaError, OSError) as error:
                log.warning("sending to %s[%d] failed and is tried again in %.1f s: %r", topic, partition, pause, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                return

    def _batches(self, outputs: list[Output], single: bool) -> list[Any]:
        batches = [self._producer.create_batch()]
        now = time.time_ns() // 1_000_000
        for output in outputs:
            record = {
                "key": output.key,
                "value": output.value,
                "headers": list(output.headers),
                "timestamp": now if output.timestamp is None else output.timestamp,
            }
            if (single and batches[-1].record_count()) or batches[-1].append(**record) is None:
                batches.append(self._producer.create_batch())
                batches[-1].append(**record)
        for batch in batches:
            batch.close()
        return batches
