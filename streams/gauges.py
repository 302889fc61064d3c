"""What a worker says of itself every so often: what it holds, and how far behind it is."""

import asyncio
import logging
from time import time

from aiokafka.errors import KafkaError

from monitoring.health import Health
from monitoring.metrics import Metrics
from streams.agents import Agents
from streams.app import App
from streams.compacted import CompactedTopic
from streams.views import Controls

log = logging.getLogger(__name__)

STATE_INTERVAL, LAG_INTERVAL, LAG_TIMEOUT = 0.25, 5.0, 10.0


async def watch_state(
    app: App, agents: Agents, controls: Controls, topics: tuple[CompactedTopic, ...], health: Health, metrics: Metrics
) -> None:
    """For ever. It has recovered when it has read all `topics`."""
    hits = misses = stale = 0
    serving = agents.serving
    while True:
        if serving is not agents.serving:
            serving = agents.serving
            # What it embedded while it was made ready was nobody's look-up.
            hits, misses = serving.embedder.hits, serving.embedder.misses
        embedder = serving.embedder
        assigned = app.consumer.assignment()
        health.set("partitions_assigned", bool(assigned))
        health.set("controls_recovered", all(topic.ready for topic in topics))
        lists = sum(place.topic == app.settings.topic("candidates") for place in assigned)
        metrics.holds(controls=len(controls), items=len(serving.model.items), partitions=lists)
        metrics.cache_requests(embedder.hits - hits, embedder.misses - misses, controls.embedded_again - stale)
        hits, misses, stale = embedder.hits, embedder.misses, controls.embedded_again
        await asyncio.sleep(STATE_INTERVAL)


async def watch_lag(app: App, asks: CompactedTopic, metrics: Metrics) -> None:
    """For ever; `asks` is whose connection is used."""
    while True:
        await asyncio.sleep(LAG_INTERVAL)
        committed = app.consumer.committed()
        try:
            async with asyncio.timeout(LAG_TIMEOUT):
                # A worker that has no partition asks, too: that the broker answers is news of its own.
                ends = await asks.ends({*committed, (asks.topic, 0)})
        except (KafkaError, TimeoutError) as error:
            log.warning("how far behind it is cannot be told: %r", error)
            metrics.consumer_lag(None, time())
            continue
        metrics.consumer_lag({place: max(0, ends[place] - done) for place, done in committed.items()}, time())
