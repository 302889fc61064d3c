"""What a worker knows of the items that came after the bundle, from a compacted topic."""

import logging
from collections.abc import Callable
from time import time

from ranker.embed import RequestEmbedder
from ranker.errors import BadEvent
from ranker.run import KEPT
from ranker.vectors import ItemVectors, Quantized
from streams.timetable import Timetable
from streams.transport import Record
from streams.views import FORGET_AT_ONCE, Run, record_key
from streams.wire import decode_item_vector

log = logging.getLogger(__name__)


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
        self._forget = Timetable[str]()
        self._next: tuple[ItemVectors, RequestEmbedder, str] | None = None
        self._behind: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._texts)

    async def apply(self, records: list[Record]) -> None:
        for record in records:
            if record.value is None:
                self._items.remove(record_key(record))
                self._note(record_key(record), None)
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
        if text is None:
            self._forget.set(item_id, self._clock() + KEPT)
        else:
            self._forget.drop(item_id)
        if self._next:
            self._behind[item_id] = None

    def forget(self) -> None:
        """Forget that items were deleted so long ago, as a worker that starts by then does not know it either."""
        for item_id in self._forget.due(self._clock(), FORGET_AT_ONCE):
            del self._texts[item_id]

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
            if (text := self._texts.get(item_id)) is None:
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
