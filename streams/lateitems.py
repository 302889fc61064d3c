"""What a worker knows of the items that came after the bundle, from a compacted topic.

Which of an item's vectors is the newest, the places say of the records that they were made of. As with controls, what was
made of an older one changes nothing, and whoever keeps its partition writes the newest again, also if it stands there in
another bundle's vectors.
"""

import logging
from collections.abc import Callable, Collection, Iterable
from functools import partial
from math import inf
from sys import intern
from time import time
from typing import NamedTuple, Self

from ranker.embed import RequestEmbedder
from ranker.errors import BadEvent, BundleError
from ranker.events import ItemVector
from ranker.vectors import ItemVectors, Quantized
from streams.controlrecords import record_key
from streams.outbox import Output
from streams.rewriting import Rewriting
from streams.timetable import Timetable
from streams.transport import Record
from streams.views import FORGET_AT_ONCE, REPAIR_AFTER, SETTLED_AT_ONCE, Run
from streams.wire import decode_item_vector, encode

log = logging.getLogger(__name__)

SOURCE = "ctrlrec.source"
TOWER_PAUSE = 10.0
"""Seconds between two looks at a tower that cannot be read."""
DELETED, DELETED_FOR = 100_000, 30 * 86_400.0
"""Deletions that are remembered at most, beyond which the oldest is forgotten before its time; and seconds, as long as the
topic keeps them."""


class Source(NamedTuple):
    """The record that an item's vector was made of, or its deletion."""

    partition: int
    offset: int
    timestamp: int

    @classmethod
    def of(cls, record: Record) -> Self:
        return cls(record.partition, record.offset, record.timestamp)

    @classmethod
    def named_by(cls, record: Record) -> Self | None:
        """What the headers of a vector say. Raises ValueError for what is not of numbers."""
        for name, value in record.headers:
            if name == SOURCE:
                offset, timestamp = map(int, value.split())
                return cls(record.partition, offset, timestamp)
        return None

    def headers(self) -> tuple[tuple[str, bytes], ...]:
        return ((SOURCE, b"%d %d" % (self.offset, self.timestamp)),)

    def before(self, other: "Source") -> bool:
        """Not by its place alone: a topic that was made again counts from 0."""
        return self.partition == other.partition and self.offset < other.offset and self.timestamp <= other.timestamp


class LateItems:
    """Puts the vectors of items that came after the bundle beside the bundle's own."""

    def __init__(
        self,
        items: ItemVectors,
        embedder: RequestEmbedder,
        bundle: str,
        run: Run,
        clock: Callable[[], float] = time,
    ) -> None:
        self._items, self._embedder, self._bundle, self._run, self._clock = items, embedder, bundle, run, clock
        self._texts: dict[str, str | None] = {}
        """None for an item that was deleted: the next bundle may have it."""
        self._sources: dict[str, Source] = {}
        self._overwritten: dict[str, float] = {}
        """Item → since when something older follows its newest vector in the topic."""
        self._written: dict[str, str] = {}
        """Item → the bundle in whose vectors its newest record is."""
        self._stale: dict[str, None] = {}
        """Items whose text is not embedded yet."""
        self._rewriting, self._kept, self._unreadable_until = Rewriting[str](), set[int](), 0.0
        self._forget = Timetable[str]()
        self._next: tuple[ItemVectors, RequestEmbedder, str] | None = None
        self._behind: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def apply(self, records: list[Record]) -> None:
        for record in records:
            item_id = record_key(record)
            try:
                source = Source.named_by(record)
                if source and source.before(self._sources.get(item_id, source)):
                    self._overwritten.setdefault(item_id, self._clock())
                    continue
                text = self._take(item_id, record.value)
            except (BadEvent, ValueError) as error:  # ValueError: a vector of another length, or a header of no numbers
                log.error("%s[%d]@%d is no item vector: %s", record.topic, record.partition, record.offset, error)
                continue
            self._overwritten.pop(item_id, None)
            if source:
                self._sources[item_id] = source
            else:
                self._sources.pop(item_id, None)
            self._note(item_id, text)

    def _take(self, item_id: str, value: bytes | None) -> str | None:
        """Put an item, remove it where there is no value, or have it wait until it is settled; its text."""
        if value is None:
            self._items.remove(item_id)
            self._stale.pop(item_id, None)
            self._written.pop(item_id, None)
            return None
        item = decode_item_vector(value)
        if item.bundle == self._bundle:
            self._items.put(item_id, Quantized(item.vector, item.scale))
            self._stale.pop(item_id, None)
        elif item_id in self._items and self._texts.get(item_id) == item.text:
            self._rewriting.begin(self._clock())  # known, and written by who serves another bundle
        else:
            self._stale[item_id] = None
        self._written[item_id] = intern(item.bundle)
        return item.text

    async def settle(self) -> bool:
        """Embed some of what was last read in another bundle's vectors; whether there is more that can be. That the tower's
        file is away holds up no list."""
        if self._clock() < self._unreadable_until:
            return False
        for _ in range(min(len(self._stale), SETTLED_AT_ONCE)):
            item_id, bundle = next(reversed(self._stale)), self._bundle
            text = self._texts[item_id]
            assert text is not None  # noqa: S101  what is deleted is not stale
            try:
                vector = await self._run(self._embedder.quantized_item, text)
            except BadEvent as error:
                vector = None
                log.error("a late item cannot be embedded again: %s", error)
            except BundleError as error:
                self._unreadable_until = self._clock() + TOWER_PAUSE
                log.error("no late item is read until this is mended: %s", error)
                return False
            if bundle != self._bundle:
                continue  # and is embedded for the one that serves by now
            if vector is None:
                self._items.remove(item_id)
            else:
                self._items.put(item_id, vector)
                self._rewriting.begin(self._clock())
            del self._stale[item_id]  # not before: the vector of an older text is not to be written again
        return bool(self._stale)

    def _note(self, item_id: str, text: str | None) -> None:
        changed = self._texts.get(item_id, "") != text
        self._texts[item_id] = text
        if text is None:
            self._forget.set(item_id, self._clock() + DELETED_FOR)
            self._forget_all(self._forget.due(inf, max(0, len(self._forget) - DELETED)))
        else:
            self._forget.drop(item_id)
        if self._next and changed:
            self._behind[item_id] = None

    def forget(self) -> None:
        """Forget that items were deleted so long ago, as a worker that starts by then does not know it either."""
        self._forget_all(self._forget.due(self._clock(), FORGET_AT_ONCE))

    def _forget_all(self, item_ids: Iterable[str]) -> None:
        for item_id in item_ids:
            del self._texts[item_id]
            self._sources.pop(item_id, None)
            self._overwritten.pop(item_id, None)

    def repairs(self, topic: str, kept: Collection[int]) -> list[Output]:
        """What to write to `topic` again, since something older came after it, of the partitions that are `kept` here: all
        workers know of all items, and one is to write."""
        now, outputs = self._clock(), list[Output]()
        for item_id, began in self._overwritten.items():
            # What was forgotten meanwhile is gone from all of them.
            if now - began < REPAIR_AFTER or (source := self._sources.get(item_id)) is None:
                continue
            readable = self._texts[item_id] is None or item_id in self._items
            if source.partition in kept and readable and item_id not in self._stale:
                self._overwritten[item_id] = now
                outputs.append(self._again(item_id, source, topic))
        return outputs

    def rewritten(self, topic: str, kept: Collection[int]) -> list[Output]:
        """Some of what stands in `topic` in another bundle's vectors, in those of the bundle that serves."""
        if not self._kept.issuperset(kept):
            self._rewriting.begin(self._clock())
        self._kept = set(kept)
        some = self._rewriting.some(self._written, partial(self._is_due, kept), self._clock())
        return [self._again(item_id, self._sources[item_id], topic) for item_id in some]

    def _is_due(self, kept: Collection[int], item_id: str) -> bool:
        """Not where the tower has no vector, nor where a former version wrote, which did not say what of."""
        if self._written.get(item_id, self._bundle) == self._bundle or item_id in self._stale:
            return False
        source = self._sources.get(item_id)
        return source is not None and source.partition in kept and item_id in self._items

    def _again(self, item_id: str, source: Source, topic: str) -> Output:
        value, text, vector = None, self._texts[item_id], self._items.vector(item_id)
        if text is not None and vector is not None:
            value = encode(
                ItemVector(item_id=item_id, text=text, bundle=self._bundle, vector=vector.values, scale=vector.scale)
            )
        return Output(topic, source.partition, item_id.encode(), value, source.headers())

    def prepare(self, items: ItemVectors, embedder: RequestEmbedder, bundle: str) -> None:
        """Begin to put all late items beside another bundle's, too."""
        self._next, self._behind = (items, embedder, bundle), dict.fromkeys(self._texts)

    @property
    def behind(self) -> bool:
        """Whether any item is not yet there."""
        return bool(self._behind)

    async def catch_up(self) -> None:
        """Put what is not there. What the tower has no vector for is unknown."""
        assert self._next is not None  # noqa: S101  prepared
        items, embedder, _ = self._next
        while self._behind:
            item_id, _ = self._behind.popitem()
            if (text := self._texts.get(item_id)) is None:
                items.remove(item_id)
                continue
            try:
                items.put(item_id, await self._run(embedder.quantized_item, text))
            except BadEvent as error:
                log.error("a late item cannot be embedded again: %s", error)
                items.remove(item_id)

    def exchange(self) -> None:
        """Put late items beside those of the prepared bundle from now on."""
        assert self._next is not None  # noqa: S101  prepared
        self._items, self._embedder, self._bundle = self._next
        self._rewriting.begin(self._clock())
        self.abandon()

    def abandon(self) -> None:
        """Stop preparing."""
        self._next, self._behind = None, {}
