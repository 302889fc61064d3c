"""A catalogue and who did what with it, columnar, so that millions of interactions stay affordable."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ranker.catalogue import Catalogue, RawItem, build_catalogue
from ranker.errors import DataError


@dataclass(frozen=True)
class Interactions:
    """Four columns of the same length m, ordered by user, then time; rows point into `user_ids` and the catalogue."""

    user_ids: tuple[str, ...]
    user_rows: NDArray[np.int32]
    item_rows: NDArray[np.int32]
    ratings: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    """Seconds since 1970; 0 where unknown."""

    def __len__(self) -> int:
        return len(self.user_rows)

    @cached_property
    def user_row_of(self) -> dict[str, int]:
        """The row of each user id."""
        return {user_id: row for row, user_id in enumerate(self.user_ids)}

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.searchsorted(self.user_rows, np.arange(len(self.user_ids) + 1))

    def of_user(self, user_id: str) -> slice:
        """Where this user's interactions lie in the columns. Raises DataError for a user who is not there."""
        row = self.user_row_of.get(user_id)
        if row is None:
            raise DataError(f"user {user_id!r} has no interactions in this data set")
        return slice(int(self._starts[row]), int(self._starts[row + 1]))

    def hold_out_last(self, count: int) -> tuple["Interactions", "Interactions"]:
        """Split off each user's `count` latest interactions: (what came before, what was held out)."""
        if count < 0:
            raise ValueError(f"count must not be negative, not {count}")
        ends = self._starts[1:][self.user_rows]
        late = np.arange(len(self)) >= ends - count
        return self._where(~late), self._where(late)

    def _where(self, mask: NDArray[np.bool_]) -> "Interactions":
        return Interactions(
            self.user_ids, self.user_rows[mask], self.item_rows[mask], self.ratings[mask], self.timestamps[mask]
        )


@dataclass(frozen=True)
class Dataset:
    """What every command below `ctrlrec data` works on."""

    catalogue: Catalogue
    interactions: Interactions


def build_dataset(
    items: Iterable[RawItem],
    user_ids: NDArray[np.str_],
    item_ids: NDArray[np.str_],
    ratings: NDArray[np.float32],
    timestamps: NDArray[np.int64],
    source: str,
) -> Dataset:
    """Join items and (m,) columns of interactions; interactions with an item of no catalogue row are a DataError.

    `source` names the interactions' file in messages.
    """
    items = list(items)
    rows = {item.item_id: row for row, item in enumerate(items)}
    known_ids, item_codes = np.unique(item_ids, return_inverse=True)
    missing = [str(item_id) for item_id in known_ids if str(item_id) not in rows]
    if missing:
        first = int(np.flatnonzero(item_ids == missing[0])[0]) + 1
        raise DataError(f"{source}: column item_id, row {first}: item {missing[0]!r} is not in the catalogue")
    item_rows = np.array([rows[str(item_id)] for item_id in known_ids], dtype=np.int32)[item_codes]
    users, user_rows = np.unique(user_ids, return_inverse=True)
    order = np.lexsort((item_rows, timestamps, user_rows))
    interactions = Interactions(
        tuple(str(user) for user in users),
        user_rows[order].astype(np.int32),
        item_rows[order],
        ratings[order].astype(np.float32),
        timestamps[order].astype(np.int64),
    )
    return Dataset(build_catalogue(items, interactions.item_rows, interactions.ratings), interactions)
