"""How many items may have come after the bundle."""

from time import monotonic

from ranker.errors import BadEvent
from ranker.events import ItemVector
from ranker.vectors import ItemVectors, Quantized

ON_ITS_WAY = 5.0
"""Seconds after which a vector that was sent has come back to us, or never will."""


class Room:
    """Lets items in up to a limit, those counted that are not among the others yet."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._let_in: dict[str, float] = {}
        """Item → when its vector was sent, which is on its way to us through its topic."""

    def check(self, item: ItemVector, items: ItemVectors) -> None:
        """Raise BadEvent(too_large) for one late item too many."""
        if not items.would_grow(item.item_id, Quantized(item.vector, item.scale)):
            return
        now = monotonic()
        self._let_in = {
            item_id: since
            for item_id, since in self._let_in.items()
            if now < since + ON_ITS_WAY and not items.is_late(item_id)
        }
        if item.item_id in self._let_in:
            return
        there = items.late + len(self._let_in)
        if there >= self._most:
            raise BadEvent(
                "too_large",
                f"{there} items have vectors that are not the bundle's, and CTRLREC_LATE_ITEMS is {self._most}; activate a "
                "bundle that has them",
            )
        self._let_in[item.item_id] = now
