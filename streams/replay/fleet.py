"""Past one machine: the lists go to Kafka, a fleet of workers ranks them, and the rankings come back from their topic.

Each list carries the request that was in force at its place in the log, so that it does not matter when a worker would have
heard of it; what that changes in a ranking (ids, and why there is no control) is put back. Items are
published as they come, and the lists after them wait until their vectors are there: give the fleet topics of its own.
"""

import time
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from ranker.errors import BadEvent, BrokerError
from ranker.events import CandidateList, ControlRequest, Degraded, Explanation, Ranking
from ranker.run import Flat, why_expired
from streams.kafka import broker_errors, check_reachable, kafka_python_connection
from streams.replay.log import Entry
from streams.replay.variants import Answers, Ranked
from streams.settings import Settings
from streams.wire import decode_ranking, encode

PATIENCE = 60.0
"""Seconds without any ranking after which the fleet is given up."""
ATTEMPTS = 5
"""How often a list is sent that comes back without its request since the tower took too long."""
LISTS, ENTRIES = 2_048, 400_000
"""Of a batch, which is sent before any of it is waited for."""
SETTLE = 1.0
"""Seconds from an item's vector being on its topic until every worker has it."""


class Fleet:
    """A worker fleet, by its topics. Raises BrokerError throughout."""

    def __init__(self, settings: Settings, weight: float | None) -> None:
        check_reachable(settings)
        self._settings, self._weight, self._run, self._sent = settings, weight, uuid.uuid4().hex[:12], 0
        self._new_items: set[str] = set()
        with broker_errors(settings):
            self._producer = KafkaProducer(
                **kafka_python_connection(settings), acks="all", linger_ms=5, batch_size=256 * 1024,
                max_request_size=1_100_000, max_block_ms=30_000, allow_auto_create_topics=False,
            )  # fmt: skip
            self._rankings = self._reader("rankings")
            self._vectors = self._reader("vectors")

    def item(self, item_id: str, entry: Entry) -> None:
        """Have an item of the log indexed before the next list."""
        with broker_errors(self._settings):
            self._producer.send(self._settings.topic("items"), entry.value, key=item_id.encode())
        self._new_items.add(item_id)

    def rank(self, flat: Flat, controls: Sequence[ControlRequest | None]) -> Answers:
        """The lists of a batch, each with the request in force for its user."""
        with broker_errors(self._settings):
            self._settle()
            lists = [
                self._to_send(asked.candidates, control) for asked, control in zip(flat.run, controls, strict=True)
            ]
            came = self._sent_and_back([each for each, _ in lists])
        rankings = [
            _restored(came[sent.event_id], asked.candidates, control, why)
            for (sent, why), asked, control in zip(lists, flat.run, controls, strict=True)
        ]
        whole = [came[sent.event_id] for sent, _ in lists]
        texts = [sent.request or "" for sent, _ in lists]
        shown: list[Ranking] = [
            ranking if asked.candidates.top_k is None else _cut(ranking, asked.candidates.top_k)
            for ranking, asked in zip(rankings, flat.run, strict=True)
        ]
        return Answers(flat, [_ranked(flat, whole, rankings)], [shown], texts)

    def close(self) -> None:
        """Disconnect."""
        for client in (self._producer, self._rankings, self._vectors):
            client.close()

    def _reader(self, topic: str) -> Any:
        name = self._settings.topic(topic)
        consumer = KafkaConsumer(
            **kafka_python_connection(self._settings), group_id=None, enable_auto_commit=False,
            auto_offset_reset="earliest", allow_auto_create_topics=False, fetch_max_wait_ms=20,
        )  # fmt: skip
        partitions = consumer.partitions_for_topic(name)
        if not partitions:
            consumer.close()
            raise BrokerError(f"there is no topic {name}; `ctrlrec topics` creates it")
        places = [TopicPartition(name, partition) for partition in sorted(partitions)]
        consumer.assign(places)
        for place, end in consumer.end_offsets(places).items():
            consumer.seek(place, end)
        return consumer

    def _to_send(self, asked: CandidateList, control: ControlRequest | None) -> tuple[CandidateList, Degraded | None]:
        """What to publish, and why nothing steers it although there is a request."""
        self._sent += 1
        name = f"{self._run}.{self._sent}"  # of the user too: nothing that the fleet knows of theirs is to steer
        fields: dict[str, Any] = {"event_id": name, "user_id": name, "top_k": None, "weight": self._weight}
        if self._weight is None:
            fields["weight"] = asked.weight
        why = None
        if asked.request is None and control is not None:
            why = why_expired(control.expires_at, asked.created_at)
            if why is None:
                fields["request"], fields["context"] = control.text, control.context
                if fields["weight"] is None:
                    fields["weight"] = control.weight
        return msgspec.structs.replace(asked, **fields), why

    def _sent_and_back(self, lists: Sequence[CandidateList]) -> dict[str, Ranking]:
        left, came = {each.event_id: each for each in lists}, dict[str, Ranking]()
        attempts = 0
        while left and attempts < ATTEMPTS:
            attempts += 1
            for each in left.values():
                self._producer.send(self._settings.topic("candidates"), encode(each), key=each.user_id.encode())
            self._producer.flush(timeout=PATIENCE)
            waiting = set(left)
            for ranking in self._until_back(waiting):
                if ranking.degraded != "deadline":
                    came[ranking.event_id] = ranking
                    del left[ranking.event_id]
        if left:
            raise BrokerError(f"the fleet's towers took too long for {len(left)} lists, {ATTEMPTS} times over")
        return came

    def _until_back(self, waiting: set[str]) -> list[Ranking]:
        back: list[Ranking] = []
        heard = time.monotonic()
        while waiting:
            for records in self._rankings.poll(timeout_ms=200, max_records=5000).values():
                for record in records:
                    try:
                        ranking: Ranking = decode_ranking(record.value)
                    except BadEvent:
                        continue
                    if ranking.event_id in waiting:
                        waiting.discard(ranking.event_id)
                        back.append(ranking)
                        heard = time.monotonic()
            if time.monotonic() - heard > PATIENCE:
                raise BrokerError(
                    f"{len(waiting)} lists have no ranking and none came for {PATIENCE:.0f} s: is a worker running, and "
                    "what does `ctrlrec dead-letters list` say? The same command goes on where it was"
                )
        return back

    def _settle(self) -> None:
        """Wait for the vectors of the items that were published."""
        if not self._new_items:
            return
        self._producer.flush(timeout=PATIENCE)
        heard = time.monotonic()
        while self._new_items:
            for records in self._vectors.poll(timeout_ms=200).values():
                self._new_items -= {(record.key or b"").decode(errors="replace") for record in records}
                heard = time.monotonic()
            if time.monotonic() - heard > PATIENCE:
                raise BrokerError(
                    f"{len(self._new_items)} items have no vector after {PATIENCE:.0f} s: is a worker running?"
                )
        time.sleep(SETTLE)


def _restored(ranking: Ranking, asked: CandidateList, control: ControlRequest | None, why: Degraded | None) -> Ranking:
    """As it would be had the list come without the request."""
    fields: dict[str, Any] = {"event_id": asked.event_id, "user_id": asked.user_id}
    if ranking.request_id == ranking.event_id:
        fields["request_id"] = asked.event_id if asked.request is not None or control is None else control.event_id
    if why is not None and ranking.degraded == "no_control":
        fields["degraded"] = why
    return msgspec.structs.replace(ranking, **fields)


def _cut(ranking: Ranking, top_k: int) -> Ranking:
    explain = ranking.explain
    if explain is not None:
        ranks = explain.control_ranks
        explain = Explanation(explain.base_ranks[:top_k], None if ranks is None else ranks[:top_k])
    return msgspec.structs.replace(ranking, item_ids=ranking.item_ids[:top_k], explain=explain)


def _ranked(flat: Flat, whole: Sequence[Ranking], restored: Sequence[Ranking]) -> Ranked:
    """Orders as places of the base order, from the ids."""
    order = np.empty(flat.spans.size, np.intp)
    for span, ranking in zip(flat.spans.slices, whole, strict=True):
        at = {flat.ids[entry]: span.start + place for place, entry in enumerate(flat.base[span].tolist())}
        order[span] = [at[item_id] for item_id in ranking.item_ids]
    figures = [ranking.adherence for ranking in restored]
    return Ranked(
        order,
        [ranking.weight for ranking in restored],
        np.array([each is not None for each in figures]),
        np.array([(0.0, 0.0, 0.0) if each is None else (each.base, each.fused, each.best) for each in figures]),
        [ranking.degraded for ranking in restored],
    )
