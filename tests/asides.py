"""The soak's requests and items: that the last one of each reader, and of each item, is what counts in the end."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from ranker.events import ControlRequest, ItemUpsert
from streams.scan import scan
from streams.settings import Settings
from streams.wire import decode_control, decode_item, decode_item_vector, decode_request, encode
from tests.bench.load import Publisher
from tests.bench.workload import REQUESTS
from tests.live import error_headers

RATE, KEYS, ENDS = 10.0, 300, 4
"""Requests a second, and as many items; of so many readers and items; each that many times one is taken back."""


class Kept(NamedTuple):
    """How the account stands of one topic."""

    events: int
    letters: int
    keys: int
    wrong: list[str]
    """Whose last event is not what is kept; and the classes of dead letters that there should be none of."""


class Asides:
    """Of readers and items that no list is about, so that each list has one right answer whenever it is ranked."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._sent = settings, 0
        self._requests, self._items = (
            Publisher(settings.kafka_bootstrap, settings.topic(topic), settings.partitions)
            for topic in ("requests", "items")
        )

    def publish(self, seconds: float) -> None:
        """What is due by then."""
        for number in range(self._sent, int(seconds * RATE)):
            key, text = f"aside {number % KEYS}", f"{REQUESTS[number % len(REQUESTS)]} {number}"
            ends = number // KEYS % ENDS == ENDS - 1
            request = ControlRequest(
                event_id=str(number), user_id=key, op="clear" if ends else "set", created_at=time.time(),
                text=None if ends else text,
            )  # fmt: skip
            self._requests.send(number % KEYS, key, encode(request))
            self._items.send(number % KEYS, key, None if ends else encode(ItemUpsert(item_id=key, text=text)))
            self._sent = number + 1

    def kept(self) -> Iterator[Kept]:
        """By the topics themselves: what was sent twice, or out of order while the broker was away, lies there as it came."""
        for publisher in (self._requests, self._items):
            with suppress(RuntimeError):  # what was not confirmed may lie there or not
                publisher.flush()
        letters = {
            (about["topic"], int(about["partition"]), int(about["offset"])): about["class"]
            for about in map(error_headers, scan(self._settings, "dead-letters"))
        }
        yield self._of("requests", "controls", letters, _asked, _controlled)
        yield self._of("items", "vectors", letters, _told, _embedded)

    def _of(
        self,
        inputs: str,
        outputs: str,
        letters: dict[tuple[str, int, int], str],
        said: Callable[[Any], tuple[float, str | None]],
        made: Callable[[bytes], str],
    ) -> Kept:
        wanted: dict[str, tuple[float, str | None]] = {}
        events, refused = 0, list[str]()
        for record in scan(self._settings, inputs):
            events += 1
            if reason := letters.get((record.topic, record.partition, record.offset)):
                refused.append(reason)
                continue
            at, what = said(record)
            key = record.key.decode()
            if at >= wanted.get(key, (at, None))[0]:
                wanted[key] = at, what
        kept = {
            record.key.decode(): None if record.value is None else made(record.value)
            for record in scan(self._settings, outputs)
        }
        wrong = [key for key, (_, what) in wanted.items() if kept.get(key) != what]
        wrong += sorted(set(refused) - {"deadline"})  # which a broker's restart on a busy machine may bring about
        return Kept(events, len(refused), len(wanted), wrong)


def _asked(record: Any) -> tuple[float, str | None]:
    request = decode_request(record.value)
    return request.created_at, None if request.op == "clear" else request.event_id


def _told(record: Any) -> tuple[float, str | None]:
    return record.offset, None if record.value is None else decode_item(record.value).text


def _controlled(value: bytes) -> str:
    return str(decode_control(value).request_id)


def _embedded(value: bytes) -> str:
    return str(decode_item_vector(value).text)
