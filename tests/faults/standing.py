"""Requests, withdrawals, items and deletions, and what stands after the last of them."""

import json
import random
from collections import defaultdict
from typing import Any

from ranker.events import Ranking
from tests.live import ITEMS, SCORES, TIMEOUT, Live, new_id, request
from tests.oracle import Account, Place

SINGLY, TOGETHER = 100, 20
"""What is published between two kills: first at a pace that workers keep up with, and then more at a time than they do."""


class Standing:
    """Half of what is published is about new users and items; the other half replaces, withdraws or deletes."""

    def __init__(self, live: Live) -> None:
        self._live, self._rng, self._number = live, random.Random(5), 0
        self._inputs: dict[Place, str | None] = {}
        self.items: dict[str, str | None] = {}
        """Item → its last text, or None where it was deleted."""
        self.wishes: dict[str, str | None] = {}
        """User → the id of the last request, or None where it withdrew the one before."""

    def publish_many(self) -> None:
        """All is acknowledged when this returns."""
        for together in [1] * SINGLY + [TOGETHER]:
            sent = [self._item() if self._rng.random() < 0.25 else self._request() for _ in range(together)]
            for future, answer in sent:
                where = future.get(timeout=TIMEOUT)
                place = where.topic, where.partition, where.offset
                self._inputs[place] = answer or _of_item(where.partition, where.offset)

    def _request(self) -> tuple[Any, str]:
        user, text = self._next(self.wishes)
        wish = request(user, text)
        self.wishes[user] = wish["event_id"] if text else None
        answer = wish["event_id"] if text else _of_withdrawal(user, repr(wish["created_at"]))
        return self._live.send("requests", json.dumps(wish).encode(), user.encode()), answer

    def _item(self) -> tuple[Any, None]:
        item, text = self._next(self.items)
        self.items[item] = text
        value = json.dumps({"item_id": item, "text": text}).encode() if text else None
        return self._live.send("items", value, item.encode()), None

    def _next(self, known: dict[str, str | None]) -> tuple[str, str | None]:
        """A user or an item, and a text that was never there before, or None."""
        self._number += 1
        text = f"songs of river {self._number}"
        if not known or self._rng.random() < 0.5:
            return new_id(), text
        return self._rng.choice(list(known)), text if self._rng.random() < 0.5 else None

    def account(self) -> Account:
        """As far as the outputs were read."""
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

    def steers(self, ranking: Ranking) -> bool:
        """Whether a ranking follows what its user asked for last, and nothing where that was withdrawn."""
        wish = self.wishes[ranking.user_id]
        return (ranking.request_id, ranking.degraded) == (wish, None if wish else "no_control")

    def knows(self, item: str) -> bool:
        ranking = self._live.rank(new_id(), item_ids=[*ITEMS, item], base_scores=[*SCORES, -1.0], request="ghosts")
        return ranking.unknown_items == 0


def _of_withdrawal(user: str, created_at: str) -> str:
    """Its record names no request."""
    return f"{user}, withdrawn at {created_at}"


def _of_item(partition: int, offset: int) -> str:
    """As its record names it."""
    return f"item of {partition}@{offset}"
