"""The log's items in a worker fleet, each as of its place in the log, whatever the fleet has seen before.

An item with a text is published under a name made of both, and a list asks for its items by the names that are in force. So
a fleet that ranked the log already, all of it or a part, knows more names and nothing else, and need not be told again.
"""

import time
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from ranker.errors import BadEvent, DataError
from ranker.events import ItemUpsert
from streams.replay.fleetlink import FleetLink, Patience
from streams.replay.log import Spot
from streams.scan import scan
from streams.settings import Settings
from streams.wire import encode

MARK = "as-of."
ATTEMPTS = 5
"""How often an item is sent whose embedding took too long."""
SETTLE = 1.0
"""Seconds from an item's vector being on its topic until every worker has it."""


class _Told(NamedTuple):
    """An item that is to be in force from the next list on."""

    name: str
    text: str
    spot: Spot


class FleetItems:
    """What to call items. Raises BrokerError."""

    def __init__(self, settings: Settings, link: FleetLink) -> None:
        self._link = link
        self._names: dict[str, str] = {}
        """Of items that the log has spoken of; names that were never published are those of deleted ones."""
        self._told: dict[str, _Told] = {}
        self._known, self._own = set[str](), set[str]()
        """Names that every worker knows, and items that the fleet has of its own."""
        for record in scan(settings, "vectors"):
            key = (record.key or b"").decode(errors="replace")
            if key.startswith(MARK) and record.value is not None:
                self._known.add(key)
            else:
                self._own.add(key)

    def tell(self, item_id: str, text: str | None, spot: Spot) -> None:
        """What the log says of an item; None: that it is deleted."""
        if text is None:
            self._told.pop(item_id, None)
            self._names[item_id] = _name(item_id, "")
        else:
            self._told[item_id] = _Told(_name(item_id, text), text, spot)

    def settle(self) -> list[tuple[Spot, BadEvent]]:
        """Wait until the fleet knows all that was told. Returns what it refused, which then changes nothing."""
        refused: dict[str, BadEvent] = {}
        left = {each.name: (item_id, each.text) for item_id, each in self._told.items() if each.name not in self._known}
        waited = bool(left)
        for _ in range(ATTEMPTS):
            if not left:
                break
            for name, (_, text) in left.items():
                self._link.send("items", encode(ItemUpsert(item_id=name, text=text)), name)
            self._link.flush()
            late = self._wait(set(left), refused)
            left = {name: left[name] for name in late}
        refused |= {name: BadEvent("deadline", f"embedding it took too long, {ATTEMPTS} times over") for name in left}
        if waited:
            time.sleep(SETTLE)
        for item_id, told in self._told.items():
            if told.name not in refused:
                self._names[item_id] = told.name
        found = [(told.spot, refused[told.name]) for told in self._told.values() if told.name in refused]
        self._told.clear()
        return found

    def named(self, event_id: str, item_ids: Sequence[str]) -> list[str] | None:
        """What to call a list's items; None if all of them as they are.

        Raises DataError for one that the fleet knows of its own and the log not yet: it would be as of no place in it.
        """
        if self._own and (strange := self._own.intersection(item_ids) - self._names.keys()):
            raise DataError(
                f"the fleet has its own item {min(strange)!r}, of which the log says nothing before list {event_id!r}: what it "
                "was by then is not known. Give the fleet topics of its own, as with CTRLREC_TOPIC_PREFIX=replay. (`ctrlrec "
                "topics` creates them)"
            )
        if not self._names:
            return None
        names = [self._names.get(item_id, item_id) for item_id in item_ids]
        return None if names == list(item_ids) else names

    def _wait(self, waiting: set[str], refused: dict[str, BadEvent]) -> set[str]:
        """Returns those whose embedding took too long."""
        late, patience = set[str](), Patience()
        while waiting:
            came = waiting.intersection(self._link.indexed())
            self._known |= came
            said = {name: error for name, error in self._link.refused().items() if name in waiting}
            late |= {name for name, error in said.items() if error.reason == "deadline"}
            refused |= {name: error for name, error in said.items() if error.reason != "deadline"}
            waiting = waiting - came - said.keys()
            if came or said:
                patience.heard()
            patience.check(f"{len(waiting)} items have no vector, and none came")
        return late


def _name(item_id: str, text: str) -> str:
    """A text is not empty: no item is called what a deleted one is."""
    return MARK + blake2b(encode((item_id, text)), digest_size=16).hexdigest()
