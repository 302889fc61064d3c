"""From texts to the vectors that steer: the one step between the towers and everything that ranks."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Protocol

from ranker.errors import BadEvent
from ranker.events import Control, ControlRequest, ItemUpsert, ItemVector
from ranker.requesttext import request_text
from ranker.vectors import Floats, Quantized, quantize, quantize_request


class Embeds(Protocol):
    """A tower, as far as this module needs it."""

    def embed(self, text: str) -> Floats: ...


class Towers(Protocol):
    """A bundle, as far as this module needs it."""

    @property
    def version(self) -> str: ...
    @property
    def request_tower(self) -> Embeds: ...
    @property
    def item_tower(self) -> Embeds: ...


class RequestEmbedder:
    """Embeds requests and items with the towers of one bundle, and remembers the requests' vectors by their text.

    Safe to call from several threads: the lock is never held while a tower works, so `cached` does not wait for one.
    """

    def __init__(self, bundle: Towers, cache: int = 10_000) -> None:
        """Keep the vectors of the `cache` texts that were asked for last."""
        self._bundle, self._size = bundle, cache
        self._cache: OrderedDict[str, Quantized] = OrderedDict()
        self._lock = Lock()
        self.hits = 0
        """How often `cached` and `quantized` found a vector; only ever rises, as does `misses`."""
        self.misses = 0
        """How many texts went through the request tower."""

    def __len__(self) -> int:
        return len(self._cache)

    def cached(self, text: str, context: str | None) -> Quantized | None:
        """The request's vector if it is remembered; returns at once."""
        return self._remembered(request_text(text, context))

    def quantized(self, text: str, context: str | None) -> Quantized:
        """The request's vector. Raises BadEvent: `schema` for a blank text, `model` where the tower gives no vector."""
        if not text.strip():
            raise BadEvent("schema", "the request's text is blank")
        read = request_text(text, context)
        if (vector := self._remembered(read)) is not None:
            return vector
        vector = _quantized(self._bundle.request_tower, read, quantize_request)
        with self._lock:
            self.misses += 1
            self._cache[read] = vector
            if len(self._cache) > self._size:
                self._cache.popitem(last=False)
        return vector

    def control(self, request: ControlRequest) -> Control:
        """What becomes of a `set`. Raises BadEvent as `quantized` does, and `schema` for a request without a text."""
        if request.text is None:
            raise BadEvent("schema", f"op is {request.op}, but there is no text")
        vector = self.quantized(request.text, request.context)
        return Control(
            request_id=request.event_id,
            user_id=request.user_id,
            text=request.text,
            context=request.context,
            bundle=self._bundle.version,
            vector=vector.values,
            scale=vector.scale,
            weight=request.weight,
            expires_at=request.expires_at,
            created_at=request.created_at,
        )

    def quantized_item(self, text: str) -> Quantized:
        """An item's vector, which is not remembered. Raises BadEvent as `quantized` does."""
        if not text.strip():
            raise BadEvent("schema", "the item's text is blank")
        return _quantized(self._bundle.item_tower, text, quantize)

    def item_vector(self, item: ItemUpsert) -> ItemVector:
        """What becomes of an item. Raises BadEvent as `quantized` does."""
        vector = self.quantized_item(item.text)
        return ItemVector(
            item_id=item.item_id, text=item.text, bundle=self._bundle.version, vector=vector.values, scale=vector.scale
        )

    def _remembered(self, read: str) -> Quantized | None:
        with self._lock:
            vector = self._cache.get(read)
            if vector is not None:
                self._cache.move_to_end(read)
                self.hits += 1
            return vector


def _quantized(tower: Embeds, text: str, quantized: Callable[[Floats], Quantized]) -> Quantized:
    try:
        return quantized(tower.embed(text))
    except ValueError as error:
        raise BadEvent("model", str(error)) from error
