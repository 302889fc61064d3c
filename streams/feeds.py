"""Feeds for people to look at: candidate lists of MovieLens users, and what became of them, side by side."""

from typing import NamedTuple

import numpy as np
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ranker.adherence import judged_adherence
from ranker.data.dataset import Dataset
from ranker.events import Adherence, Ranking
from ranker.judges import RuleJudge
from ranker.recommender import Recommender
from ranker.requests import Spec
from ranker.taste import user_taste

CANDIDATES = 200
SHOWN = 7


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
        self._judge = RuleJudge(dataset.catalogue)
        self._items = {item.item_id: item for item in dataset.catalogue.items}

    def of(self, user_id: str) -> Feed:
        """Raises DataError for a user who is not in the data."""
        ids, scores = self._recommender.candidates(user_id, CANDIDATES)
        return Feed(user_id, ids, scores, user_taste(self._dataset, user_id).text())

    def judged(self, feed: Feed, ranking: Ranking, spec: Spec) -> Adherence:
        """How well a ranking of the whole feed follows the request by the rule judge, who knows what was meant."""
        judgment = self._judge.scores(spec, user_taste(self._dataset, feed.user_id))
        rows = [self._dataset.catalogue.row_of[item_id] for item_id in feed.item_ids]
        place = {item_id: rank for rank, item_id in enumerate(feed.item_ids)}
        return judged_adherence(judgment[rows], np.array([place[item_id] for item_id in ranking.item_ids]))

    def side_by_side(self, request: str, feed: Feed, ranking: Ranking) -> Table:
        """The top of the feed before and after, and where each item of the new top was."""
        how = f"weight {ranking.weight:g}" if ranking.degraded is None else f"degraded: {ranking.degraded}"
        who = f"User {feed.user_id}" + (f", who {feed.context}" if feed.context else "")
        table = Table(title=f"{who}:\n[bold]“{escape(request)}”[/] ({how})", title_justify="left", expand=True)
        table.add_column("", justify="right")
        table.add_column("before", ratio=1)
        table.add_column("after", ratio=1)
        table.add_column("was", justify="right")
        place = {item_id: rank for rank, item_id in enumerate(feed.item_ids, 1)}
        for rank, (before, after) in enumerate(zip(feed.item_ids, ranking.item_ids, strict=False), 1):
            if rank > SHOWN:
                break
            style = "green" if place[after] > SHOWN else ""
            table.add_row(str(rank), self._line(before), self._line(after, style), str(place[after]))
        return table

    def _line(self, item_id: str, style: str = "") -> Text:
        item = self._items[item_id]
        year = f" ({item.year})" if item.year else ""
        return Text.assemble((f"{item.title}{year}", style), "\n", (", ".join(item.genres), "dim"))
