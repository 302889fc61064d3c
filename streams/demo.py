"""The demo: broker, worker, and MovieLens users who ask in words, over real sockets; then its figures in one table."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import fmean, quantiles, stdev
from threading import Thread

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ranker.data import load_dataset
from ranker.data.dataset import Dataset
from ranker.errors import BrokerError
from ranker.events import Ranking
from ranker.requests import CATEGORIES, Grammar, Request
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
            users = _play_scene(dataset, feeds, client, worker, console)
            _measure_traffic(dataset, feeds, client, worker, users, console)
            if stay:
                console.print('\nStill serving. In another terminal: ctrlrec ask --user 42 "more like my favourites"')
                console.print("Ctrl-C stops everything.")
                worker.process.wait()


def _play_scene(dataset: Dataset, feeds: Feeds, client: Client, worker: WorkerProcess, console: Console) -> set[str]:
    asked: dict[str, tuple[str, Feed]] = {}
    for request, genre in SCENE:
        feed = feeds.of(_keenest(dataset, genre, {feed.user_id for _, feed in asked.values()}))
        client.set_request(feed.user_id, request, context=feed.context, weight=WEIGHT)
        asked[feed.user_id] = request, feed
    _wait_for_controls(worker, len(asked))
    ids = {user_id: f"scene-{user_id}" for user_id in asked}
    reader = client.rankings(PATIENCE, of=ids.values())
    for user_id, (_, feed) in asked.items():
        client.publish_candidates(user_id, feed.item_ids, feed.base_scores, event_id=ids[user_id])
    rankings = {ranking.user_id: ranking for ranking in reader}
    for user_id, (request, feed) in asked.items():
        if user_id not in rankings:
            raise BrokerError(f"the ranking of user {user_id} did not come within {PATIENCE:.0f} s; see {worker.log}")
        console.print(feeds.side_by_side(request, feed, rankings[user_id]))
        console.print()
    return set(asked)


def _measure_traffic(
    dataset: Dataset, feeds: Feeds, client: Client, worker: WorkerProcess, already: set[str], console: Console
) -> None:
    rng = Random(SEED)
    grammar = Grammar(dataset.catalogue)
    everybody = sorted(dataset.interactions.user_ids)
    asking: dict[str, tuple[Feed, Request]] = {}
    for number, user_id in enumerate(rng.sample(everybody, min(USERS, len(everybody)))):
        request = grammar.draw(CATEGORIES[number % len(CATEGORIES)], "usual", rng)
        asking[user_id] = feed, _ = feeds.of(user_id), request
        client.set_request(user_id, request.text, context=feed.context, weight=WEIGHT)
    _wait_for_controls(worker, len(asking.keys() | already))

    lists = [feed for feed, _ in asking.values()] * LISTS_PER_USER
    ids = [f"demo-{number}" for number in range(len(lists))]
    reader = client.rankings(PATIENCE, of=ids)

    def publish() -> None:
        start = time.monotonic()
        for number, (event_id, feed) in enumerate(zip(ids, lists, strict=True)):
            time.sleep(max(0.0, start + number / LISTS_PER_SECOND - time.monotonic()))
            client.publish_candidates(feed.user_id, feed.item_ids, feed.base_scores, event_id=event_id)

    publisher = Thread(target=publish, daemon=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    arrivals: list[Ranking] = []
    seconds: list[float] = []
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"{LISTS_PER_SECOND} lists a second", total=len(lists))
        publisher.start()
        for ranking in reader:
            arrivals.append(ranking)
            seconds.append(time.time() - ranking.created_at)
            progress.advance(task)
    reader.close()
    if len(arrivals) < len(lists):
        raise BrokerError(f"{len(lists) - len(arrivals)} of {len(lists)} rankings did not come; see {worker.log}")
    by_judge = {
        user_id: feeds.judged(asking[user_id][0], ranking, asking[user_id][1].spec).gain
        for user_id, ranking in {ranking.user_id: ranking for ranking in arrivals}.items()
    }
    events = len(SCENE) + len(asking) + len(SCENE) + len(lists)
    console.print(summary(arrivals, seconds, list(by_judge.values()), events))


def summary(rankings: list[Ranking], seconds: list[float], judged: list[float | None], events: int) -> Table:
    """The demo's figures. Gains are averaged by user, since one user's lists resemble each other."""
    figures = {ranking.user_id: ranking.adherence for ranking in rankings if ranking.adherence is not None}
    percentiles = quantiles([1000 * value for value in seconds], n=100)
    degraded = sum(ranking.degraded is not None for ranking in rankings)
    table = Table(title="What went through", title_justify="left", show_header=False)
    table.add_row("events in", f"{events:,}")
    table.add_row("rankings read", f"{len(rankings):,}, of which {degraded} degraded")
    table.add_row(
        "end to end", f"p50 {percentiles[49]:.1f} ms, p99 {percentiles[98]:.1f} ms, list made to ranking read"
    )
    table.add_row("adherence gain", _mean([each.gain for each in figures.values()]) + " by the towers")
    table.add_row("", _mean(judged) + " by the rule judge, wordings held out")
    table.add_row("top 10", f"{1 - fmean(each.overlap for each in figures.values()):.0%} of it changed")
    table.caption = "Gain: 0 the platform's own order, 1 the best order of the same list; ± standard error over users."
    return table


def _mean(gains: list[float | None]) -> str:
    known = [gain for gain in gains if gain is not None]
    return f"{fmean(known):+.2f} ± {stdev(known) / len(known) ** 0.5:.2f} ({len(known)} users)"


def _keenest(dataset: Dataset, genre: str, taken: set[str]) -> str:
    """The user with the most ratings of a genre, who does not ask already."""
    column = dataset.catalogue.genres.index(genre)
    hits = dataset.catalogue.genre_matrix[dataset.interactions.item_rows, column]
    counts = [0] * len(dataset.interactions.user_ids)
    for row in dataset.interactions.user_rows[hits].tolist():
        counts[row] += 1
    users = dataset.interactions.user_ids
    return max(
        (user for user in users if user not in taken), key=lambda user: counts[dataset.interactions.user_row_of[user]]
    )


def _wait_for_controls(worker: WorkerProcess, count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while worker.metrics()["feedranker_controls_active"] < count and time.monotonic() < deadline:
        time.sleep(0.05)
