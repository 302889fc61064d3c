"""What is in force at a place of the log: each user's control, and the items that came after the bundle.

The rules are those of `streams.views`: a request or a withdrawal that is older than the one in force changes nothing, and a
request steers only the lists of its own partition. Controls are what the workers made of requests; their topic keeps those that
are in force, so one tells of a request that is older than the log. Of a request that the log has it tells nothing new.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranker.embed import RequestEmbedder, Towers, check_text, text_of
from ranker.errors import BadEvent
from ranker.events import CandidateList, ControlRequest
from ranker.events import Control as SentControl
from ranker.rank import Model
from ranker.run import Asked, Steering
from ranker.vectors import Quantized
from streams.replay.log import Entry
from streams.wire import decode_control, decode_item, decode_key, decode_request

REMEMBERED = 100_000
"""Request texts whose vectors are kept, to be shared by all who ask for the same."""


class Codes(dict[str, int]):
    """Numbers ids in the order in which they are first met."""

    def __missing__(self, key: str) -> int:
        self[key] = code = len(self)
        return code

    def of(self, ids: list[str]) -> NDArray[np.intp]:
        """(n,) of each id."""
        return np.fromiter(map(self.__getitem__, ids), np.intp, len(ids))


class Serving:
    """One bundle: its towers, its model, and where its items lie by the codes of the present segment."""

    def __init__(self, towers: Towers, model: Model) -> None:
        self.model = model
        self._embedder = RequestEmbedder(towers, REMEMBERED)
        # Users who ask for the same share one array, by whose identity the model keeps its scores.
        self._floats = lru_cache(REMEMBERED)(Quantized.floats)
        self._codes, self._rows = Codes(), np.empty(0, np.intp)

    def control(self, request: ControlRequest) -> Steering:
        """What becomes of a `set`. Raises BadEvent."""
        control = self._embedder.control(request)
        values = self._floats(Quantized(control.vector, control.scale))
        return Steering(control.request_id, control.bundle, values, control.scale, control.weight, control.expires_at)

    def own(self, candidates: CandidateList) -> Steering:
        """What becomes of a list's own request. Raises BadEvent."""
        vector = self._embedder.quantized(candidates.request or "", candidates.context)
        return Steering(candidates.event_id, self.model.bundle, self._floats(vector), vector.scale, None, None)

    def item(self, text: str) -> Quantized:
        """Raises BadEvent."""
        return self._embedder.quantized_item(text)

    def put(self, item_id: str, vector: Quantized | None) -> None:
        """A new or changed item, or None for one that is deleted."""
        if vector is None:
            self.model.items.remove(item_id)
        else:
            self.model.items.put(item_id, vector)
        code = self._codes.get(item_id, len(self._rows))
        if code < len(self._rows):
            self._rows[code] = self.model.items.rows([item_id])[0]

    def number_by(self, codes: Codes) -> None:
        """From now on, `rows` takes these."""
        if codes is self._codes:
            return
        self._codes, self._rows = codes, np.empty(0, np.intp)

    def rows(self, numbers: NDArray[np.intp]) -> NDArray[np.intp]:
        """Of the items with these codes; -1 where one has no vector."""
        if len(self._codes) > len(self._rows):
            new = list(self._codes)[len(self._rows) :]
            self._rows = np.concatenate([self._rows, self.model.items.rows(new)])
        return self._rows[numbers]


class Control(NamedTuple):
    """In force for one user."""

    steers: list[Steering]
    """In the vectors of each bundle."""
    request: ControlRequest
    older: bool
    """The log has it as a control, and not as a request."""


def request_of(control: SentControl) -> ControlRequest:
    """What a worker made it of."""
    return ControlRequest(
        event_id=control.request_id, user_id=control.user_id, op="set", created_at=control.created_at, text=control.text,
        context=control.context, weight=control.weight, expires_at=control.expires_at,
    )  # fmt: skip


class State:
    """As of the entry that was applied last. Several bundles are kept side by side."""

    def __init__(self, servings: Sequence[Serving], max_event_bytes: int) -> None:
        self.servings, self._max = servings, max_event_bytes
        self.pinned: dict[str, Serving] = {}
        """Other bundles, by version: they get the late items, and no controls."""
        self._controls: dict[tuple[int, str], Control] = {}
        self._since: dict[tuple[int, str], float] = {}
        self.late: dict[str, str | None] = {}
        """Texts of items that came after the bundle; None for one that was deleted."""

    def request(self, entry: Entry) -> None:
        """Raises BadEvent."""
        self._request(decode_request(self.value(entry)), entry.partition, older=False)

    def control(self, entry: Entry) -> None:
        """Raises BadEvent."""
        value = self.value(entry)
        if value is None:
            whose = entry.partition, decode_key(entry.key or b"")
            if whose in self._controls and self._controls[whose].older:
                del self._controls[whose]
            return
        control = decode_control(value)
        # Workers write it after its request: what is no newer than what is known was read already.
        if control.created_at > self._since.get((entry.partition, control.user_id), -inf):
            self._request(request_of(control), entry.partition, older=True)

    def _request(self, request: ControlRequest, partition: int, *, older: bool) -> None:
        whose = partition, request.user_id
        control = None
        if request.op == "set":
            # Before its age is looked at: what is wrong with it, a worker says too. A fleet's replay has no serving to say it.
            text_of(request)
            control = Control([serving.control(request) for serving in self.servings], request, older)
        if request.created_at < self._since.get(whose, request.created_at):
            return
        self._since[whose] = request.created_at
        if control:
            self._controls[whose] = control
        else:
            self._controls.pop(whose, None)

    def item(self, entry: Entry) -> str:
        """Its id. Raises BadEvent."""
        value = self.value(entry)
        if value is None:
            if not entry.key:
                raise BadEvent("schema", "neither an item nor the key of one to delete")
            item_id, text = decode_key(entry.key), None
        else:
            item = decode_item(value)
            item_id, text = item.item_id, item.text
            check_text(text, "item")
        self._put(item_id, text)
        return item_id

    def _put(self, item_id: str, text: str | None) -> None:
        everywhere = [*self.servings, *self.pinned.values()]
        vectors = [None if text is None else serving.item(text) for serving in everywhere]
        for serving, vector in zip(everywhere, vectors, strict=True):
            serving.put(item_id, vector)
        self.late[item_id] = text

    def asked(self, candidates: CandidateList, partition: int) -> tuple[list[Asked], ControlRequest | None]:
        """The list with what steers it under each bundle (without any bundle, alone), and the user's request in force.

        Raises BadEvent.
        """
        if candidates.request is not None:
            check_text(candidates.request, "request")
            return [Asked(candidates, serving.own(candidates)) for serving in self.servings] or [
                Asked(candidates, None)
            ], None
        control = self._controls.get((partition, candidates.user_id))
        if control is None or not self.servings:
            return [Asked(candidates, None)] * max(1, len(self.servings)), control and control.request
        return [Asked(candidates, steering) for steering in control.steers], control.request

    def value(self, entry: Entry) -> bytes | None:
        """Raises BadEvent for more than a worker reads."""
        if entry.size > self._max:
            raise BadEvent("too_large", f"{entry.size} bytes; at most {self._max} are read")
        return entry.value
