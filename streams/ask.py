"""One user's request against a service that runs: published, waited for, and shown as a feed before and after."""

from pathlib import Path
from time import monotonic

from rich.table import Table

from ranker.data import load_dataset
from ranker.errors import BrokerError
from streams.client import Client
from streams.feeds import Feeds
from streams.settings import Settings

PATIENCE = 15.0


def ask_as(settings: Settings, user_id: str, text: str, weight: float, data: Path) -> Table:
    """Set the user's request and rank their feed until the ranking follows it. Raises BrokerError if none does."""
    feeds = Feeds(load_dataset(data))
    feed = feeds.of(user_id)
    with Client(settings) as client:
        reader = client.rankings(PATIENCE)
        request_id = client.set_request(user_id, text, context=feed.context, weight=weight)
        deadline = monotonic() + PATIENCE
        while monotonic() < deadline:
            event_id = client.publish_candidates(user_id, feed.item_ids, feed.base_scores)
            ranking = next((ranking for ranking in reader if ranking.event_id == event_id), None)
            if ranking is not None and ranking.request_id == request_id:
                return feeds.side_by_side(text, feed, ranking)
    raise BrokerError(
        f"no ranking came back within {PATIENCE:.0f} s: is a worker running on {settings.kafka_bootstrap}?"
    )
