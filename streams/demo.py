"""The demo: broker, worker, and MovieLens users who ask in words, over real sockets; then its figures in one table."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import fmean, quantiles, stdev
from threading import Thread
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ranker.data import load_dataset
from ranker.data.dataset import Dataset
from ranker.events import Ranking
from ranker.requests.grammar import Grammar
from ranker.requests.spec import CATEGORIES
from streams.broker import EmbeddedBroker
from streams.client import Client
from streams.feeds import Feed, Feeds
from streams.settings import Settings
from streams.supervise import WorkerProcess
from streams.topics import ensure_topics

SCENE = (
    ("less violent, more documentaries", "Action"),
    ("no horror please", "Horror"),
    ("westerns from the 60s", "Western"),
    ("something different from what I usually watch", "Drama"),
)
"""What is asked, and the genre whose keenest viewer asks it."""

WEIGHT = 0.75
USERS, LISTS_PER_USER, LISTS_PER_SECOND = 200, 5, 200
SEED = 7
PATIENCE = 30.0
"""Seconds after which something that does not come is a failure."""


class Arrival(NamedTuple):
    ranking: Ranking
    seconds: float
    """From the list's creation to its ranking's arrival in this program."""


@contextmanager
def running(settings: Settings, console: Console) -> Iterator[WorkerProcess]:
    """Topics and a worker on the broker of `settings`."""
    ensure_topics(settings)
    with console.status("starting a worker (it waits for its group to settle)"):
        worker = WorkerProcess(settings, Path("var/worker.log"))
        worker.start()
        try:
            worker.wait_ready()
        except BaseException:
            worker.kill()
            raise
    try:
        yield worker
    finally:
        worker.stop()


def run_demo(settings: Settings, data: Path, console: Console, *, stay: bool) -> None:
    """Play the scene and measure the traffic; with `stay`, serve on until Ctrl-C.

    Raises BrokerError if the broker or the worker does not start, and if rankings do not come back.
    """
    with console.status("reading the ratings and fitting the base recommender"):
        dataset = load_dataset(data)
        feeds = Feeds(dataset)
    port = int(settings.kafka_bootstrap.rpartition(":")[2]) if stay else 0
    with EmbeddedBroker(port=port) as broker:
        settings = msgspec.structs.replace(
            settings, kafka_bootstrap=broker.bootstrap, monitoring_port=settings.monitoring_port if stay else 0
        )
        with running(settings, console) as worker, Client(settings) as client:
            console.print(f"broker on {broker.bootstrap}, worker with metrics on {worker.monitoring}/metrics\n")
            _play_scene(dataset, feeds, client, worker, console)
            _measure_traffic(dataset, feeds, client, worker, console)
            if stay:
                console.print('\nStill serving. In another terminal: ctrlrec ask --user 42 "more like my favourites"')
                console.print("Ctrl-C stops everything.")
                worker.process.wait()


def _play_scene(dataset: Dataset, feeds: Feeds, client: Client, worker: WorkerProcess, console: Console) -> None:
    asked: dict[str, tuple[str, Feed]] = {}
    for request, genre in SCENE:
        feed = feeds.of(_keenest(dataset, genre, {feed.user_id for _, feed in asked.values()}))
        client.set_request(feed.user_id, request, context=feed.context, weight=WEIGHT)
        asked[feed.user_id] = request, feed
    _wait_for_controls(worker, len(asked))
    reader = client.rankings(PATIENCE)
    for user_id, (_, feed) in asked.items():
        client.publish_candidates(user_id, feed.item_ids, feed.base_scores)
    for _ in asked:
        ranking = next(reader)
        console.print(feeds.side_by_side(*asked[ranking.user_id], ranking))
    reader.close()


def _measure_traffic(dataset: Dataset, feeds: Feeds, client: Client, worker: WorkerProcess, console: Console) -> None:
    rng = Random(SEED)
    grammar = Grammar(dataset.catalogue)
    users = rng.sample(sorted(dataset.interactions.user_ids), min(USERS, len(dataset.interactions.user_ids)))
    before = worker.metrics()["feedranker_controls_active"]
    settled = set()
    for number, user_id in enumerate(users):
        request = grammar.draw(CATEGORIES[number % len(CATEGORIES)], "heldout", rng)
        client.set_request(user_id, request.text, context=feeds.of(user_id).context, weight=WEIGHT)
        settled.add(user_id)
    _wait_for_controls(worker, int(before) + len(settled) - len(SCENE))

    lists = [feeds.of(user_id) for user_id in users] * LISTS_PER_USER
    ids = [f"demo-{number}" for number in range(len(lists))]
    reader = client.rankings(PATIENCE, of=ids)

    def publish() -> None:
        start = time.monotonic()
        for number, (event_id, feed) in enumerate(zip(ids, lists, strict=True)):
            time.sleep(max(0.0, start + number / LISTS_PER_SECOND - time.monotonic()))
            client.publish_candidates(feed.user_id, feed.item_ids, feed.base_scores, event_id=event_id)

    publisher = Thread(target=publish)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        publisher.start()
        task = progress.add_task(f"{len(lists)} lists of {len(lists[0].item_ids)}, {LISTS_PER_SECOND} a second", total=len(lists))
        arrivals = []
        for ranking in reader:
            arrivals.append(Arrival(ranking, time.time() - ranking.created_at))
            progress.advance(task)
    publisher.join()
    reader.close()
    console.print(summary(arrivals, sent=len(lists), requests=len(SCENE) + len(users)))


def summary(arrivals: list[Arrival], *, sent: int, requests: int) -> Table:
    """The demo's figures. A gain's standard error is over users, since one user's lists resemble each other."""
    gains: dict[str, list[float]] = {}
    overlaps = []
    for ranking, _ in arrivals:
        figures = ranking.adherence
        if figures is not None:
            overlaps.append(figures.overlap)
            if figures.gain is not None:
                gains.setdefault(ranking.user_id, []).append(figures.gain)
    means = [fmean(values) for values in gains.values()]
    percentiles = quantiles([arrival.seconds * 1000 for arrival in arrivals], n=100)
    table = Table(title="What went through", title_justify="left", show_header=False)
    table.add_row("requests, lists sent, rankings received", f"{requests:,}, {sent:,}, {len(arrivals):,}")
    table.add_row("end to end, list created to ranking read", f"p50 {percentiles[49]:.1f} ms, p99 {percentiles[98]:.1f} ms")
    table.add_row(
        "mean adherence gain (0 as before, 1 best order)",
        f"{fmean(means):+.3f} ± {stdev(means) / len(means) ** 0.5:.3f} (SE over {len(means)} users)",
    )
    table.add_row("share of the top 10 that changed", f"{1 - fmean(overlaps):.0%}")
    degraded = sum(ranking.degraded is not None for ranking, _ in arrivals)
    table.add_row("degraded rankings", f"{degraded:,}")
    return table


def _keenest(dataset: Dataset, genre: str, taken: set[str]) -> str:
    """The user with the most ratings of a genre, who does not ask already."""
    column = dataset.catalogue.genres.index(genre)
    hits = dataset.catalogue.genre_matrix[dataset.interactions.item_rows, column]
    counts = [0] * len(dataset.interactions.user_ids)
    for row in dataset.interactions.user_rows[hits].tolist():
        counts[row] += 1
    users = dataset.interactions.user_ids
    return max((user for user in users if user not in taken), key=lambda user: counts[dataset.interactions.user_row_of[user]])


def _wait_for_controls(worker: WorkerProcess, count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while worker.metrics()["feedranker_controls_active"] < count and time.monotonic() < deadline:
        time.sleep(0.05)
