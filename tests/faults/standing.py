"""Requests, withdrawals, items and deletions, and what stands after the last of them."""

import json
import random
import time
from collections import Counter, defaultdict
from typing import Any

from ranker.events import Ranking
from streams.scan import scan
from streams.wire import decode_request
from tests.live import ITEMS, SCORES, TIMEOUT, Live, new_id, request
from tests.oracle import Account, Place

SINGLY, TOGETHER = 100, 20
"""What is published between two kills: first at a pace that workers keep up with, and then more at a time than they do."""


class Standing:
    """Half of what is published is about new users and items; the other half replaces, withdraws or deletes."""

    def __init__(self, live: Live) -> None:
        self._live, self._rng, self._number = live, random.Random(5), 0
        self._sent = Counter[tuple[bytes, bytes | None]]()
        """By keys and values."""
        self._inputs: dict[Place, str | None] = {}
        """Of all that was sent, or nothing."""
        self._items: dict[str, bytes | None] = {}
        """Item → its last event, or None where it was deleted."""
        self._wishes: dict[str, str | None] = {}
        """User → the id of the last request, or None where it withdrew the one before."""

    def publish_many(self) -> None:
        """All is acknowledged when this returns."""
        for together in [1] * SINGLY + [TOGETHER]:
            for future in self.send(together):
                future.get(timeout=TIMEOUT)

    def send(self, number: int) -> list[Any]:
        """Futures of their acknowledgements, which may wait for the broker to be back."""
        self._inputs = {}
        return [self._item() if self._rng.random() < 0.25 else self._request() for _ in range(number)]

    def _request(self) -> Any:
        user, text = self._next(self._wishes)
        wish = request(user, text)
        self._wishes[user] = wish["event_id"] if text else None
        return self._send("requests", user, json.dumps(wish).encode())

    def _item(self) -> Any:
        item, text = self._next(self._items)
        self._items[item] = json.dumps({"item_id": item, "text": text}).encode() if text else None
        return self._send("items", item, self._items[item])

    def _send(self, topic: str, key: str, value: bytes | None) -> Any:
        self._sent[key.encode(), value] += 1
        return self._live.send(topic, value, key.encode())

    def _next(self, known: dict[str, Any]) -> tuple[str, str | None]:
        """A user or an item, and a text that was never there before, or None."""
        self._number += 1
        text = f"songs of river {self._number}"
        if not known or self._rng.random() < 0.5:
            return new_id(), text
        return self._rng.choice(list(known)), text if self._rng.random() < 0.5 else None

    def account(self) -> Account:
        """Of all that was sent, once it is acknowledged, as far as the outputs were read."""
        self._inputs = self._inputs or self._lying()
        outputs = self._live.outputs
        unnamed: dict[str, list[bytes]] = defaultdict(list)
        for record in outputs.controls:
            if record.value is None:
                created_at = dict(record.headers)["ctrlrec.created-at"].decode()
                unnamed[_of_withdrawal(record.key.decode(), created_at)].append(b"")
        for record in outputs.vectors:
            offset, _ = dict(record.headers)["ctrlrec.source"].split()
            unnamed[_of_item(record.partition, int(offset))].append(record.value or b"")
        return Account.of(self._inputs, outputs.answers() | unnamed, outputs.dead)

    def _lying(self) -> dict[Place, str | None]:
        """Place → id of the answer, of all that the broker has. A producer whose connection is cut sends again: then one may
        lie at two places, and of an item's events another may be the last."""
        self._live.producer.flush(timeout=TIMEOUT)
        requests, items = (
            [record for record in scan(self._live.settings, topic) if (record.key, record.value) in self._sent]
            for topic in ("requests", "items")
        )
        assert self._sent <= Counter((record.key, record.value) for record in requests + items)
        self._items |= {record.key.decode(): record.value for record in items}
        answers = [(record, _of_request(record.value)) for record in requests]
        answers += [(record, _of_item(record.partition, record.offset)) for record in items]
        return {(record.topic, record.partition, record.offset): answer for record, answer in answers}

    def check(self, name: str) -> None:
        """Wait for the last outcome, and until what stands is what lists meet; assert that all is well."""
        assert self._live.outputs.until(lambda: not self.account().missing)
        deadline = time.monotonic() + TIMEOUT
        while amiss := self.amiss():
            assert time.monotonic() < deadline, amiss
        self.account().check(name)

    def amiss(self) -> list[str]:
        """Users whose lists do not follow what they asked for last, or follow anything where they withdrew it; and items that
        are not known, or known although they were deleted."""
        rankings = self._live.rank_all(list(self._wishes))
        users = [ranking.user_id for ranking in rankings if not self._steers(ranking)]
        return users + [item for item, event in self._items.items() if self._knows(item) != (event is not None)]

    def _steers(self, ranking: Ranking) -> bool:
        wish = self._wishes[ranking.user_id]
        return (ranking.request_id, ranking.degraded) == (wish, None if wish else "no_control")

    def _knows(self, item: str) -> bool:
        ranking = self._live.rank(new_id(), item_ids=[*ITEMS, item], base_scores=[*SCORES, -1.0], request="ghosts")
        return ranking.unknown_items == 0


def _of_request(value: bytes) -> str:
    wish = decode_request(value)
    return wish.event_id if wish.op == "set" else _of_withdrawal(wish.user_id, repr(wish.created_at))


def _of_withdrawal(user: str, created_at: str) -> str:
    """Its record names no request."""
    return f"{user}, withdrawn at {created_at}"


def _of_item(partition: int, offset: int) -> str:
    """As its record names it."""
    return f"item of {partition}@{offset}"
