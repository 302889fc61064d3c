"""Feeds for people to look at: candidate lists of MovieLens users, and what became of them, side by side."""

from typing import NamedTuple

from rich.table import Table

from ranker.catalogue import Item
from ranker.data.dataset import Dataset
from ranker.events import Ranking
from ranker.recommender import Recommender
from ranker.taste import user_taste

CANDIDATES = 200
SHOWN = 10


class Feed(NamedTuple):
    """One user's candidates, best first by the platform."""

    user_id: str
    item_ids: list[str]
    base_scores: list[float]
    context: str | None
    """The user's taste in words, for the request tower."""


class Feeds:
    """What the platform would show each user: the base recommender's best items that the user has not seen."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._recommender = Recommender.fit(dataset)
        self._items = {item.item_id: item for item in dataset.catalogue.items}

    def of(self, user_id: str) -> Feed:
        """Raises DataError for a user who is not in the data."""
        ids, scores = self._recommender.candidates(user_id, CANDIDATES)
        return Feed(user_id, ids, scores, user_taste(self._dataset, user_id).text())

    def side_by_side(self, request: str, feed: Feed, ranking: Ranking) -> Table:
        """The top of the feed before and after, with each item's place on the other side."""
        weight = f"weight {ranking.weight:g}" if ranking.degraded is None else f"degraded: {ranking.degraded}"
        taste = f", {feed.context}" if feed.context else ""
        table = Table(
            title=f"User {feed.user_id}{taste} asks: [bold]{request}[/]  ({weight})", title_justify="left", expand=True
        )
        for header in ("", "before", "after", "was at"):
            narrow = header in ("", "was at")
            table.add_column(header, justify="right" if narrow else "left", ratio=None if narrow else 1, no_wrap=True)
        place = {item_id: rank for rank, item_id in enumerate(feed.item_ids, 1)}
        pairs = zip(feed.item_ids[:SHOWN], ranking.item_ids[:SHOWN], strict=False)
        for rank, (before, after) in enumerate(pairs, 1):
            style = "" if place[after] <= SHOWN else "green"
            table.add_row(str(rank), self._line(before), f"[{style}]{self._line(after)}[/]" if style else self._line(after), str(place[after]))
        return table

    def _line(self, item_id: str) -> str:
        item: Item = self._items[item_id]
        year = f" ({item.year})" if item.year else ""
        return f"{item.title}{year} [dim]{', '.join(item.genres)}[/]"
