"""One worker process: loads the bundle, follows the controls and the late items, and runs the three agents."""

import asyncio
import gc
import logging
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvloop
from faust.types import TP

from ranker.bundle import Bundle
from ranker.embed import RequestEmbedder
from ranker.errors import BrokerError
from streams.agents import Agents
from streams.app import App, serve
from streams.kafka import aiokafka_connection
from streams.outbox import Outbox
from streams.settings import Settings
from streams.views import CompactedTopic, Controls, LateItems

log = logging.getLogger(__name__)


def run_worker(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises BundleError or BrokerError when it cannot start."""
    bundle = Bundle.load(settings.bundle, threads=settings.tower_threads)
    bundle.request_tower.embed("warm up")
    # What is there now stays for good: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, bundle))


async def _serve(settings: Settings, bundle: Bundle) -> None:
    loop = asyncio.get_running_loop()
    towers = ThreadPoolExecutor(1, "tower")

    async def off_loop(function: Callable[..., Any], *arguments: Any) -> Any:
        return await loop.run_in_executor(towers, function, *arguments)

    model = bundle.model(settings.weight, settings.fusion)
    embedder = RequestEmbedder(bundle, settings.embed_cache)
    connection = aiokafka_connection(settings)
    controls = Controls(embedder, model.bundle, off_loop)
    late = LateItems(model.items, embedder, model.bundle, off_loop)
    following = CompactedTopic(connection, settings.topic("controls"), controls.apply)
    novel = CompactedTopic(connection, settings.topic("vectors"), late.apply)
    outbox = Outbox(connection)
    agents = Agents(settings, model, embedder, controls, towers)

    app = App(settings)
    candidates = settings.topic("candidates")

    async def rank_feed(run: Any) -> Any:
        await following.caught_up(run.partition)
        return await agents.rank_feed(run)

    # The towers' outputs go to compacted topics that are read up to their end: one record a batch (see views).
    serve(app, settings.topic("requests"), "embed_requests", agents.embed_requests, outbox, single=True)
    serve(app, settings.topic("items"), "index_items", agents.index_items, outbox, single=True)
    serve(app, candidates, "rank_feed", rank_feed, outbox)

    async def assigned(_app: App, assigned: set[TP], **_: Any) -> None:
        mine = {tp.partition for tp in assigned if tp.topic == candidates}
        controls.keep_only(mine)
        await following.assign(mine)

    app.on_partitions_assigned.connect(assigned, weak=False)

    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    try:
        await outbox.start()
        await following.start()
        await novel.start()
    except OSError as error:
        raise BrokerError(f"no broker at {settings.kafka_bootstrap}: {error}") from error
    await novel.assign(range(await outbox.partitions(settings.topic("vectors"))))
    followers = [loop.create_task(view.follow()) for view in (following, novel)]
    await app.start()
    log.info("serving bundle %s from %s", model.bundle, settings.kafka_bootstrap)
    try:
        await app.wait_first(stop.wait(), *followers)
    finally:
        await app.stop()
        for follower in followers:
            follower.cancel()
        await asyncio.gather(following.stop(), novel.stop(), outbox.stop())
        towers.shutdown(cancel_futures=True)
