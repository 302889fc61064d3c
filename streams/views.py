"""What a worker knows of the controls of its users, from a compacted topic.

They can be held ready in the vectors of a next bundle while the present one serves, as late items can
(`streams.lateitems`):

    view.prepare(...)              # from here on, whatever is or becomes known waits in line to be embedded again
    while view.behind:
        await view.catch_up()
    view.exchange()                # not a step of the event loop after `behind` was false: nothing is missing

Records keep their texts for that, and what stands last of a user in another bundle's vectors is embedded again. Whoever
keeps the partition then writes it in those of its own, so that the next one to keep it need not embed all of them before
it ranks.

Which of a user's controls is the newest, their requests' times say. Compaction does not know it and keeps what was
written last: an old one, where a worker was stopped, taken for dead, and went on with what it had in hand. So whoever
keeps the partition and sees that writes the newest again, too.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from sys import intern
from time import time
from typing import Any

from ranker.embed import RequestEmbedder
from ranker.errors import BadEvent
from ranker.events import Control
from ranker.run import KEPT, Steering
from ranker.vectors import Quantized
from streams.controlrecords import read_control, record_key, withdrawal
from streams.outbox import Output
from streams.rewriting import Rewriting
from streams.timetable import Timetable
from streams.transport import Record
from streams.wire import encode

log = logging.getLogger(__name__)

FORGET_AT_ONCE = 1000
REPAIR_AFTER = 5.0
"""Seconds that an older control may lie over a newer one. After a redelivery of both the newer comes by itself."""
SETTLED_AT_ONCE = 100
"""Whoever waits for what is read, as a rebalance does, waits for so many calls of a tower at most."""

Run = Callable[..., Awaitable[Any]]
"""`run(function, *arguments)` calls a function off the event loop."""


class _Partition:
    """What is known of the users of one partition."""

    __slots__ = ("asked", "forget", "next", "overwritten", "since", "stale", "users", "written")

    def __init__(self) -> None:
        self.users: dict[str, Steering] = {}
        self.asked: dict[str, tuple[str, str | None]] = {}
        """Text and context of each control, for another bundle to embed."""
        self.since: dict[str, float] = {}
        """When what each user asked for last, or withdrew, was made."""
        self.forget = Timetable[str]()
        self.overwritten: dict[str, float] = {}
        """User → since when an older record follows the one in force in the topic."""
        self.written: dict[str, str] = {}
        """User → the bundle in whose vectors the newest record of a control is."""
        self.stale: dict[str, Control] = {}
        """The newest of users of whom it is not embedded yet."""
        self.next: dict[str, Steering] = {}
        """`users`, in the vectors of the bundle that is being prepared."""

    def again(self, user_id: str, topic: str, number: int) -> Output:
        """What is in force, as a record like the one that it came from, by whatever bundle serves now."""
        key, created_at = user_id.encode(), self.since[user_id]
        if (steering := self.users.get(user_id)) is None:
            return Output(topic, number, key, None, withdrawal(created_at))
        text, context = self.asked[user_id]
        control = Control(
            request_id=steering.request_id,
            user_id=user_id,
            text=text,
            context=context,
            bundle=steering.bundle,
            vector=steering.values.astype("<i2").tobytes(),
            scale=steering.scale,
            created_at=created_at,
            weight=steering.weight,
            expires_at=steering.expires_at,
            ood=steering.ood,
        )
        return Output(topic, number, key, encode(control))


class Controls:
    """The control in force of each user, by partition.

    A control or a withdrawal that is older than the one in force changes nothing: it is a redelivery.
    """

    def __init__(self, embedder: RequestEmbedder, bundle: str, run: Run, clock: Callable[[], float] = time) -> None:
        self._embedder, self._bundle, self._run, self._clock = embedder, bundle, run, clock
        self._partitions: dict[int, _Partition] = {}
        self._next: tuple[RequestEmbedder, str] | None = None
        self._behind: dict[tuple[_Partition, str], None] = {}
        self._rewriting = Rewriting[tuple[int, str]]()
        self.embedded_again = 0
        """How many controls were read in the vectors of another bundle; only ever rises."""

    def of(self, partition: int) -> Mapping[str, Steering]:
        """By user, and kept up to date; once the partition is no longer kept, or another bundle serves, it stays as it
        was then."""
        return self._partitions.setdefault(partition, _Partition()).users

    def keep_only(self, partitions: Collection[int]) -> None:
        for partition in [p for p in self._partitions if p not in partitions]:
            del self._partitions[partition]

    def __len__(self) -> int:
        return sum(len(partition.users) for partition in self._partitions.values())

    def apply(self, records: list[Record]) -> None:
        for record in records:
            partition = self._partitions.setdefault(record.partition, _Partition())
            user_id = record_key(record)
            try:
                created_at, control = read_control(record)
                steering = None if control is None else Steering.of(control)
            except (BadEvent, ValueError) as error:  # ValueError: a vector or a header that is no number
                log.error("%s[%d]@%d is no control: %s", record.topic, record.partition, record.offset, error)
                continue
            since = partition.since.get(user_id, created_at)
            if created_at < since:
                partition.overwritten.setdefault(user_id, self._clock())
                continue
            partition.since[user_id] = created_at
            partition.overwritten.pop(user_id, None)
            if control is None or steering is None:
                partition.stale.pop(user_id, None)
                partition.written.pop(user_id, None)
                self._put(partition, user_id, None, None)
                continue
            partition.written[user_id] = intern(control.bundle)
            known, now = partition.users.get(user_id), self._clock()
            if known and (known.request_id, known.bundle, created_at) == (control.request_id, self._bundle, since):
                if control.bundle != self._bundle:  # by who serves another
                    self._rewriting.begin(now)
            elif control.bundle == self._bundle or _is_over(control.expires_at, now):
                partition.stale.pop(user_id, None)
                self._put(partition, user_id, steering, control)
            else:
                partition.stale[user_id] = control
                partition.forget.drop(user_id)

    async def settle(self) -> bool:
        """Embed some of what was last read in another bundle's vectors; whether there is more."""
        left = SETTLED_AT_ONCE
        for partition in list(self._partitions.values()):
            while left and partition.stale:
                left -= 1
                user_id, control = next(reversed(partition.stale.items()))
                bundle = self._bundle
                try:
                    steering = await self._steering(control)
                except BadEvent as error:
                    if bundle != self._bundle:
                        continue
                    log.error("a control cannot be embedded again: %s", error)
                    steering = Steering.of(control)  # `other_bundle`, when it is used
                self._put(partition, user_id, steering, control)
                del partition.stale[user_id]  # not before: what is in force meanwhile is not to be written again
                self._rewriting.begin(self._clock())
        return any(partition.stale for partition in self._partitions.values())

    def _put(self, partition: _Partition, user_id: str, steering: Steering | None, control: Control | None) -> None:
        now = self._clock()
        expires_at = steering.expires_at if steering else None
        if control is None or steering is None or _is_over(expires_at, now):
            partition.users.pop(user_id, None)
            partition.asked.pop(user_id, None)
            partition.forget.set(user_id, now + KEPT)
        else:
            partition.users[user_id] = steering
            partition.asked[user_id] = control.text, control.context
            if expires_at is None:
                partition.forget.drop(user_id)
            else:
                partition.forget.set(user_id, max(expires_at, now) + KEPT)
        if self._next:
            self._behind[partition, user_id] = None

    def forget(self) -> None:
        """Forget users whose control expired, or was withdrawn, so long ago; some of them, if there are many."""
        for partition in self._partitions.values():
            for user_id in partition.forget.due(self._clock(), FORGET_AT_ONCE):
                for known in (
                    partition.users,
                    partition.asked,
                    partition.since,
                    partition.overwritten,
                    partition.written,
                ):
                    known.pop(user_id, None)
                if self._next:
                    self._behind[partition, user_id] = None

    def repairs(self, topic: str) -> list[Output]:
        """What to write to `topic` again, since an older record came after it. It is due anew until it is read there."""
        now, outputs = self._clock(), list[Output]()
        for number, partition in self._partitions.items():
            for user_id, began in partition.overwritten.items():
                if now - began >= REPAIR_AFTER and user_id not in partition.stale:
                    partition.overwritten[user_id] = now
                    outputs.append(partition.again(user_id, topic, number))
        return outputs

    def rewritten(self, topic: str) -> list[Output]:
        """Some of what stands in `topic` in another bundle's vectors, in those of the bundle that serves."""
        every = ((number, user_id) for number, partition in self._partitions.items() for user_id in partition.users)
        some = self._rewriting.some(every, self._is_due, self._clock())
        return [self._partitions[number].again(user_id, topic, number) for number, user_id in some]

    def _is_due(self, key: tuple[int, str]) -> bool:
        number, user_id = key
        if not (partition := self._partitions.get(number)) or user_id in partition.stale:
            return False
        steering, written = partition.users.get(user_id), partition.written.get(user_id, self._bundle)
        return steering is not None and steering.bundle == self._bundle != written

    async def _steering(self, control: Control) -> Steering:
        """In the vectors of the bundle that serves when this returns."""
        steering = Steering.of(control)
        self.embedded_again += steering.bundle != self._bundle
        while steering.bundle != self._bundle:
            steering = await self._embed(steering, control.text, control.context, self._embedder, self._bundle)
        return steering

    async def _embed(
        self, steering: Steering, text: str, context: str | None, embedder: RequestEmbedder, bundle: str
    ) -> Steering:
        vector: Quantized = await self._run(embedder.quantized, text, context)
        told = embedder.familiarity(text, context)
        ood = told is not None and told.ood
        return steering._replace(bundle=bundle, values=vector.floats(), scale=vector.scale, ood=ood)

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
        self._rewriting.begin(self._clock())
        self.abandon()

    def abandon(self) -> None:
        """Stop preparing."""
        self._next, self._behind = None, {}
        for partition in self._partitions.values():
            partition.next = {}


def _is_over(expires_at: float | None, now: float) -> bool:
    """Whether a control need not be kept, even for lists that come late."""
    return expires_at is not None and expires_at + KEPT <= now
