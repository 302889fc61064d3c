"""What a worker knows from compacted topics: the controls of its users, and the items that came after the bundle.

Both can be held ready in the vectors of a next bundle while the present one serves:

    view.prepare(...)              # from here on, whatever is or becomes known waits in line to be embedded again
    while view.behind:
        await view.catch_up()
    view.exchange()                # not a step of the event loop after `behind` was false: nothing is missing

Records keep their texts for that. They are not written back with the next bundle's vectors: a worker that reads
another bundle's record embeds it again, whereas a record written back could overtake a newer one, and compaction
would keep it in the newer one's place.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from ranker.embed import RequestEmbedder
from ranker.errors import BadEvent
from ranker.events import Control
from ranker.run import Steering
from ranker.vectors import ItemVectors, Quantized
from streams.transport import Record
from streams.wire import decode_control, decode_item_vector

log = logging.getLogger(__name__)

CREATED_AT = "ctrlrec.created-at"

Run = Callable[..., Awaitable[Any]]
"""`run(function, *arguments)` calls a function off the event loop."""


class _Partition:
    """What is known of the users of one partition."""

    __slots__ = ("asked", "next", "since", "users")

    def __init__(self) -> None:
        self.users: dict[str, Steering] = {}
        self.asked: dict[str, tuple[str, str | None]] = {}
        """Text and context of each control, for another bundle to embed."""
        self.since: dict[str, float] = {}
        self.next: dict[str, Steering] = {}
        """`users`, in the vectors of the bundle that is being prepared."""


class Controls:
    """The control in force of each user, by partition.

    A control or a withdrawal that is older than the one in force changes nothing: it is a redelivery.
    """

    def __init__(self, embedder: RequestEmbedder, bundle: str, run: Run) -> None:
        self._embedder, self._bundle, self._run = embedder, bundle, run
        self._partitions: dict[int, _Partition] = {}
        self._next: tuple[RequestEmbedder, str] | None = None
        self._behind: dict[tuple[_Partition, str], None] = {}

    def of(self, partition: int) -> Mapping[str, Steering]:
        """By user, and kept up to date; once the partition is no longer kept, or another bundle serves, it stays as it
        was then."""
        return self._partitions.setdefault(partition, _Partition()).users

    def keep_only(self, partitions: Collection[int]) -> None:
        for partition in [p for p in self._partitions if p not in partitions]:
            del self._partitions[partition]

    def __len__(self) -> int:
        return sum(len(partition.users) for partition in self._partitions.values())

    async def apply(self, records: list[Record]) -> None:
        for record in records:
            partition = self._partitions.setdefault(record.partition, _Partition())
            user_id = _key(record)
            try:
                created_at, control = _read(record)
                steering = None if control is None else await self._steering(control)
            except (BadEvent, ValueError) as error:  # ValueError: a vector or a header that is no number
                log.error("%s[%d]@%d is no control: %s", record.topic, record.partition, record.offset, error)
                continue
            if created_at < partition.since.get(user_id, created_at):
                continue
            partition.since[user_id] = created_at
            if control is None or steering is None:
                partition.users.pop(user_id, None)
                partition.asked.pop(user_id, None)
            else:
                partition.users[user_id] = steering
                partition.asked[user_id] = control.text, control.context
            if self._next:
                self._behind[partition, user_id] = None

    async def _steering(self, control: Control) -> Steering:
        """In the vectors of the bundle that serves when this returns."""
        steering = Steering.of(control)
        while steering.bundle != self._bundle:
            steering = await self._embed(steering, control.text, control.context, self._embedder, self._bundle)
        return steering

    async def _embed(
        self, steering: Steering, text: str, context: str | None, embedder: RequestEmbedder, bundle: str
    ) -> Steering:
        vector: Quantized = await self._run(embedder.quantized, text, context)
        return steering._replace(bundle=bundle, values=vector.floats(), scale=vector.scale)

    def prepare(self, embedder: RequestEmbedder, bundle: str) -> None:
        """Begin to hold the controls ready in the vectors of another bundle, too."""
        self._next = embedder, bundle
        for partition in self._partitions.values():
            partition.next = {}
        self._behind = {(p, user_id): None for p in self._partitions.values() for user_id in p.users}

    @property
    def behind(self) -> bool:
        """Whether any control is not yet ready."""
        return bool(self._behind)

    async def catch_up(self) -> None:
        """Make ready what is not. What the tower has no vector for stays as it is: `other_bundle`, when it is used."""
        assert self._next is not None  # noqa: S101  prepared
        while self._behind:
            (partition, user_id), _ = self._behind.popitem()
            if (steering := partition.users.get(user_id)) is None:
                partition.next.pop(user_id, None)
                continue
            try:
                partition.next[user_id] = await self._embed(steering, *partition.asked[user_id], *self._next)
            except BadEvent as error:
                log.error("a control cannot be embedded again: %s", error)
                partition.next[user_id] = steering

    def exchange(self) -> None:
        """Steer by the prepared bundle from now on."""
        assert self._next is not None  # noqa: S101  prepared
        self._embedder, self._bundle = self._next
        for partition in self._partitions.values():
            partition.users = partition.next
        self.abandon()

    def abandon(self) -> None:
        """Stop preparing."""
        self._next, self._behind = None, {}
        for partition in self._partitions.values():
            partition.next = {}


class LateItems:
    """Puts the vectors of items that came after the bundle beside the bundle's own."""

    def __init__(self, items: ItemVectors, embedder: RequestEmbedder, bundle: str, run: Run) -> None:
        self._items, self._embedder, self._bundle, self._run = items, embedder, bundle, run
        self._texts: dict[str, str | None] = {}
        """None for an item that was deleted: the next bundle may have it."""
        self._next: tuple[ItemVectors, RequestEmbedder, str] | None = None
        self._behind: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._texts)

    async def apply(self, records: list[Record]) -> None:
        for record in records:
            if record.value is None:
                self._items.remove(_key(record))
                self._note(_key(record), None)
                continue
            try:
                item = decode_item_vector(record.value)
                vector, bundle = Quantized(item.vector, item.scale), item.bundle
                while bundle != self._bundle:
                    embedder, bundle = self._embedder, self._bundle
                    vector = await self._run(embedder.quantized_item, item.text)
                self._items.put(item.item_id, vector)
            except (BadEvent, ValueError) as error:  # ValueError: a vector of another length
                log.error("%s[%d]@%d is no item vector: %s", record.topic, record.partition, record.offset, error)
                continue
            self._note(item.item_id, item.text)

    def _note(self, item_id: str, text: str | None) -> None:
        self._texts[item_id] = text
        if self._next:
            self._behind[item_id] = None

    def prepare(self, items: ItemVectors, embedder: RequestEmbedder, bundle: str) -> None:
        """Begin to put all late items beside another bundle's, too."""
        self._next, self._behind = (items, embedder, bundle), dict.fromkeys(self._texts)

    @property
    def behind(self) -> bool:
        """Whether any item is not yet there."""
        return bool(self._behind)

    async def catch_up(self) -> None:
        """Put what is not there. What the tower has no vector for is unknown, unless the bundle has it."""
        assert self._next is not None  # noqa: S101  prepared
        items, embedder, _ = self._next
        while self._behind:
            item_id, _ = self._behind.popitem()
            if (text := self._texts[item_id]) is None:
                items.remove(item_id)
                continue
            try:
                items.put(item_id, await self._run(embedder.quantized_item, text))
            except BadEvent as error:
                log.error("a late item cannot be embedded again: %s", error)

    def exchange(self) -> None:
        """Put late items beside those of the prepared bundle from now on."""
        assert self._next is not None  # noqa: S101  prepared
        self._items, self._embedder, self._bundle = self._next
        self.abandon()

    def abandon(self) -> None:
        """Stop preparing."""
        self._next, self._behind = None, {}


def _read(record: Record) -> tuple[float, Control | None]:
    """When the control or the withdrawal was made, and the control."""
    if record.value is None:
        return withdrawn_at(record), None
    control = decode_control(record.value)
    return control.created_at, control


def _key(record: Record) -> str:
    return record.key.decode(errors="replace") if record.key else ""


def withdrawal(created_at: float) -> tuple[tuple[str, bytes], ...]:
    """Headers of the record without a value that withdraws a control: a value could not say when it was made."""
    return ((CREATED_AT, repr(created_at).encode()),)


def withdrawn_at(record: Record) -> float:
    """When the withdrawal was made; when it was written, where its headers do not say."""
    return next((float(value) for name, value in record.headers if name == CREATED_AT), record.timestamp / 1000)
