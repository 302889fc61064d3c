"""A small client for programs that publish requests and candidate lists and read the rankings.

from streams.client import Client
from streams.settings import Settings

with Client(Settings(kafka_bootstrap="127.0.0.1:9092")) as client:
    client.set_request("42", "less violence, more documentaries", weight=0.7)
    rankings = client.rankings(timeout=10)          # from here on: ask before you publish
    client.publish_candidates("42", ["m1", "m2", "m3"], [0.9, 0.5, 0.4])
    for ranking in rankings:
        print(ranking.user_id, ranking.item_ids, ranking.degraded)
"""

import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Literal, Self, TypeVar

from kafka import KafkaProducer
from kafka.errors import KafkaError

from ranker.errors import BadEvent, BrokerError
from ranker.events import CandidateList, ControlRequest, ItemUpsert
from streams.kafka import broker_errors, check_reachable, explained, kafka_python_connection
from streams.rankings import Rankings
from streams.settings import Settings
from streams.wire import decode_candidates, decode_item, decode_request, encode

Event = TypeVar("Event", ControlRequest, CandidateList, ItemUpsert)

CONFIRM_TIMEOUT = 30.0


class Client:
    """Publishes, and reads rankings. Use one for long rather than many; it is safe to call from several threads.

    What is published is checked first: BadEvent is raised for what a worker would not take.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        """Connect to the broker of `settings`, by default those of the environment. Raises BrokerError or ConfigError."""
        self.settings = settings or Settings.from_environment()
        check_reachable(self.settings)
        with broker_errors(self.settings):
            self._producer = KafkaProducer(
                **kafka_python_connection(self.settings),
                acks="all",
                # Lists are large: the default of 16 kB would make nearly each of them a batch of its own.
                batch_size=256 * 1024,
                linger_ms=5,
                max_block_ms=10_000,
                allow_auto_create_topics=False,
            )
        self._failed: deque[Exception] = deque(maxlen=1)
        self._readers: list[Rankings] = []

    def set_request(
        self,
        user_id: str,
        text: str,
        *,
        context: str | None = None,
        weight: float | None = None,
        expires_at: float | None = None,
        event_id: str | None = None,
    ) -> str:
        """Steer all later lists of `user_id` by `text`, and return the event's id once the broker has it.

        `context` is a short text of the user's taste, `weight` in 0..1, `expires_at` in seconds since the epoch.
        Rankings that follow the request carry the id as their `request_id`.
        """
        request = ControlRequest(
            event_id=event_id or _new_id(), user_id=user_id, op="set", created_at=time.time(),
            text=text, context=context, weight=weight, expires_at=expires_at,
        )  # fmt: skip
        self._send("requests", user_id, _checked(request, decode_request), wait=True)
        return request.event_id

    def clear_request(self, user_id: str, *, event_id: str | None = None) -> str:
        """Withdraw the user's request, and return the event's id once the broker has it."""
        request = ControlRequest(event_id=event_id or _new_id(), user_id=user_id, op="clear", created_at=time.time())
        self._send("requests", user_id, _checked(request, decode_request), wait=True)
        return request.event_id

    def publish_candidates(
        self,
        user_id: str,
        item_ids: Sequence[str],
        base_scores: Sequence[float],
        *,
        request: str | None = None,
        context: str | None = None,
        weight: float | None = None,
        top_k: int | None = None,
        explain: bool = False,
        event_id: str | None = None,
        wait: bool = False,
    ) -> str:
        """Ask for one ranking, and return the event's id, which the ranking will carry.

        Scores are better the higher they are. `request` steers this list alone. The list is sent in the background,
        together with its like, unless `wait` is set; `flush` raises what went wrong.
        """
        if len(item_ids) != len(base_scores):
            raise BadEvent("schema", f"{len(item_ids)} item_ids but {len(base_scores)} base_scores")
        candidates = CandidateList(
            event_id=event_id or _new_id(), user_id=user_id, item_ids=list(item_ids),
            base_scores=[float(score) for score in base_scores], created_at=time.time(),
            request=request, context=context, weight=weight, top_k=top_k, explain=explain,
        )  # fmt: skip
        self._send("candidates", user_id, _checked(candidates, decode_candidates), wait=wait)
        return candidates.event_id

    def publish_item(self, item_id: str, text: str) -> None:
        """Make a new or changed item rankable, within seconds; returns once the broker has it."""
        self._send("items", item_id, _checked(ItemUpsert(item_id=item_id, text=text), decode_item), wait=True)

    def delete_item(self, item_id: str) -> None:
        """Forget an item that came after the bundle; returns once the broker has it."""
        self._send("items", item_id, None, wait=True)

    def flush(self, timeout: float = CONFIRM_TIMEOUT) -> None:
        """Wait until all that was published is confirmed. Raises BrokerError if something was not."""
        with broker_errors(self.settings):
            self._producer.flush(timeout=timeout)
        if self._failed:
            raise explained(self._failed.pop(), self.settings)

    def rankings(
        self,
        timeout: float | None = None,
        *,
        of: Collection[str] | None = None,
        start: Literal["now", "earliest"] = "now",
    ) -> Rankings:
        """Rankings as they come, each once, of all users.

        They begin where the topic ends at the time of this call, not of the first iteration, so call it before you
        publish what you wait for. (The embedded broker does not know exactly where a topic ends: a few older rankings
        may come first, but none is left out.) They end when none came for `timeout` seconds; and, given the event ids
        `of` candidate lists, once all of those have come, no others being returned.
        """
        reader = Rankings(self.settings, timeout, of, start)
        self._readers.append(reader)
        return reader

    def close(self) -> None:
        """Confirm what was published and disconnect. Raises BrokerError if something was not confirmed."""
        try:
            self.flush()
        finally:
            with broker_errors(self.settings):
                for reader in self._readers:
                    reader.close()
                self._producer.close(timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, topic: str, key: str, value: bytes | None, *, wait: bool) -> None:
        if value is not None and len(value) > self.settings.max_event_bytes:
            raise BadEvent("too_large", f"{len(value)} bytes; at most {self.settings.max_event_bytes} are read")
        try:
            sent = self._producer.send(self.settings.topic(topic), value, key=key.encode())
            if wait:
                sent.get(timeout=CONFIRM_TIMEOUT)
            else:
                sent.add_errback(self._failed.append)
        except KafkaError as error:
            raise BrokerError(f"{explained(error, self.settings)}; does {self.settings.topic(topic)} exist?") from error


def _new_id() -> str:
    return uuid.uuid4().hex


def _checked(event: Event, decode: Callable[[bytes], Event]) -> bytes:
    """Its JSON, once a worker's own decoder has accepted it."""
    payload = encode(event)
    decode(payload)
    return payload
