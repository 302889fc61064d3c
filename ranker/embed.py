"""From texts to the vectors that steer: the one step between the towers and everything that ranks."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple, Protocol

from ranker.canaries import CanarySet
from ranker.errors import BadEvent
from ranker.events import Control, ControlRequest, ItemUpsert, ItemVector
from ranker.familiarity import Familiarity, Projections
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
    @property
    def familiarity(self) -> "Callable[[str, Floats], Familiarity] | None": ...
    @property
    def item_places(self) -> Projections | None: ...
    @property
    def canaries(self) -> CanarySet | None: ...


class RequestEmbedder:
    """Embeds requests and items with the towers of one bundle, and remembers the requests' vectors by their text.

    Safe to call from several threads: the lock is never held while a tower works, so `cached` does not wait for one.
    """

    def __init__(self, bundle: Towers, cache: int = 10_000) -> None:
        """Keep the vectors of the `cache` texts that were asked for last."""
        self._bundle, self._size = bundle, cache
        self._cache: OrderedDict[str, _Embedded] = OrderedDict()
        self._lock = Lock()
        self.hits = 0
        """How often `cached` and `quantized` found a vector; only ever rises, as does `misses`."""
        self.misses = 0
        """How many texts went through the request tower."""

    def __len__(self) -> int:
        return len(self._cache)

    def cached(self, text: str, context: str | None) -> Quantized | None:
        """The request's vector if it is remembered; returns at once."""
        found = self._remembered(request_text(text, context))
        return None if found is None else found.vector

    def quantized(self, text: str, context: str | None) -> Quantized:
        """The request's vector. Raises BadEvent: `schema` for a blank text, `model` where the tower gives no vector."""
        return self._embedded(text, context).vector

    def familiarity(self, text: str, context: str | None) -> Familiarity | None:
        """How familiar a request is that is remembered; None for another, and where the bundle cannot tell."""
        with self._lock:
            found = self._cache.get(request_text(text, context))
        return None if found is None else found.familiarity

    @property
    def canaries(self) -> CanarySet | None:
        """The bundle's golden requests, if it has any."""
        return self._bundle.canaries

    def uncached(self, text: str) -> Quantized:
        """The vector of a text without context, as the tower makes it now. Raises BadEvent as `quantized` does."""
        return _vectors(self._bundle.request_tower, request_text(text, None), quantize_request)[1]

    def _embedded(self, text: str, context: str | None) -> "_Embedded":
        check_text(text, "request")
        read = request_text(text, context)
        if (found := self._remembered(read)) is not None:
            return found
        vector, quantized = _vectors(self._bundle.request_tower, read, quantize_request)
        told = self._bundle.familiarity
        embedded = _Embedded(quantized, told(text, vector) if told else None)
        with self._lock:
            self.misses += 1
            self._cache[read] = embedded
            if len(self._cache) > self._size:
                self._cache.popitem(last=False)
        return embedded

    def control(self, request: ControlRequest) -> Control:
        """What becomes of a `set`. Raises BadEvent as `quantized` does, and `schema` for a request without a text."""
        text = text_of(request)
        vector, familiarity = self._embedded(text, request.context)
        return Control(
            request_id=request.event_id,
            user_id=request.user_id,
            text=text,
            context=request.context,
            bundle=self._bundle.version,
            vector=vector.values,
            scale=vector.scale,
            weight=request.weight,
            expires_at=request.expires_at,
            created_at=request.created_at,
            ood=familiarity is not None and familiarity.ood,
        )

    def load_item_tower(self) -> None:
        """Have the item tower at hand. Raises BundleError where its file cannot be read, or is not the bundle's."""
        _ = self._bundle.item_tower

    def quantized_item(self, text: str) -> Quantized:
        """An item's vector, which is not remembered. Raises BadEvent as `quantized` does."""
        check_text(text, "item")
        return _vectors(self._bundle.item_tower, text, quantize)[1]

    def item_vector(self, item: ItemUpsert) -> ItemVector:
        """What becomes of an item. Raises BadEvent as `quantized` does."""
        vector = self.quantized_item(item.text)
        return ItemVector(
            item_id=item.item_id, text=item.text, bundle=self._bundle.version, vector=vector.values, scale=vector.scale
        )

    def item_quantiles(self, item: ItemVector) -> tuple[float, ...] | None:
        """Where the item lies among those of the bundle; None where the bundle cannot tell."""
        places = self._bundle.item_places
        return places.quantiles(Quantized(item.vector, item.scale).floats() * item.scale) if places else None

    def _remembered(self, read: str) -> "_Embedded | None":
        with self._lock:
            found = self._cache.get(read)
            if found is not None:
                self._cache.move_to_end(read)
                self.hits += 1
            return found


class _Embedded(NamedTuple):
    vector: Quantized
    familiarity: Familiarity | None


def check_text(text: str, whose: str) -> None:
    """Raises BadEvent for a blank text of a request or an item, which no tower is asked about."""
    if not text.strip():
        raise BadEvent("schema", f"the {whose}'s text is blank")


def text_of(request: ControlRequest) -> str:
    """What a `set` asks for. Raises BadEvent where it asks for nothing."""
    if request.text is None:
        raise BadEvent("schema", f"op is {request.op}, but there is no text")
    check_text(request.text, "request")
    return request.text


def _vectors(tower: Embeds, text: str, quantized: Callable[[Floats], Quantized]) -> tuple[Floats, Quantized]:
    """The vector (d,) as the tower gives it, and quantized."""
    try:
        vector = tower.embed(text)
        return vector, quantized(vector)
    except ValueError as error:
        raise BadEvent("model", str(error)) from error
