"""One worker process: loads the bundle, follows the controls and the late items, and runs the three agents."""

import asyncio
import gc
import logging
import os
import platform
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from time import monotonic
from typing import Any

from faust.types import TP
from prometheus_client import CollectorRegistry

from monitoring.health import Health, heartbeat
from monitoring.metrics import Metrics
from monitoring.server import MonitoringServer, add_process_metrics
from ranker import __version__
from ranker.embed import RequestEmbedder
from ranker.errors import ConfigError
from streams.agents import Agents, Handled
from streams.app import App, serve
from streams.canaries import Canaries
from streams.compacted import CompactedTopic
from streams.gauges import watch_lag, watch_state
from streams.kafka import aiokafka_connection, check_reachable
from streams.lateitems import TOWER_PAUSE, LateItems
from streams.loop import Loop
from streams.outbox import Outbox
from streams.settings import Settings
from streams.swap import Opened, Swaps, open_bundle
from streams.topics import check_topics
from streams.towerthread import TowerThread
from streams.transport import Run
from streams.upkeep import upkeep
from streams.views import Controls
from streams.watchdog import EXIT_FAILURE, Limit, watch

log = logging.getLogger(__name__)

RANK_FEED, INDEX_ITEMS = "rank_feed", "index_items"
LEAVE_TIMEOUT = 5.0
"""Seconds to leave the group in, for a worker that is stopped before it was ready."""


def run_worker(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises BundleError, BrokerError or ConfigError when it cannot start."""
    check_reachable(settings)
    check_topics(settings)
    opened = open_bundle(settings)
    # What is there now stays for good: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(_serve(settings, opened))


async def _serve(settings: Settings, opened: Opened) -> None:
    try:
        await Worker(settings, opened).run()  # made here because its parts belong to the running event loop
    except ConfigError:
        raise  # before Faust was started
    except Exception:
        log.critical("the worker ends; what it had not acknowledged comes again", exc_info=True)
        os._exit(EXIT_FAILURE)  # Faust's threads would keep a crashed process alive


def _unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """asyncio's own handler would show the task with its exception, and what that says."""
    log.error("%s", context["message"], exc_info=context.get("exception"))


class Worker:
    """The parts of one worker, and how they hang together."""

    def __init__(self, settings: Settings, opened: Opened) -> None:
        self._settings, bundle = settings, opened.bundle
        self._registry = CollectorRegistry()
        add_process_metrics(self._registry)
        self._metrics, self._health = Metrics(self._registry), Health()
        self._health.set("bundle_loaded", True)
        self._metrics.build(__version__, platform.python_version())
        self._metrics.bundle(bundle.manifest.name, bundle.version, bundle.built_at)

        model = bundle.model(settings.weight, settings.fusion)
        self._towers = TowerThread()
        embedder = RequestEmbedder(bundle, settings.embed_cache)
        self._controls = Controls(embedder, model.bundle, self._off_loop)
        late = self._late = LateItems(model.items, embedder, model.bundle, self._off_loop)
        connection = aiokafka_connection(settings)
        self._control_topic = CompactedTopic(
            connection, settings.topic("controls"), self._controls.apply, self._controls.settle
        )
        self._vector_topic = CompactedTopic(connection, settings.topic("vectors"), late.apply, late.settle)
        self._outbox = Outbox(connection)
        self._agents = Agents(settings, model, embedder, self._controls, self._towers, self._metrics)
        self._swaps = Swaps(settings, opened, self._agents, self._controls, late, self._metrics)
        self._canaries = Canaries(self._agents, self._metrics, settings.canary_interval)
        self._app = self._make_app()
        self._candidates = settings.topic("candidates")
        self._rebalance_began = monotonic()
        self._stopping_since: float | None = None

    def _make_app(self) -> App:
        settings, agents, outbox = self._settings, self._agents, self._outbox
        app = App(settings)
        # Controls and vectors are read up to their end, and the embedded broker only knows where the last batch begins.
        serve(app, settings.topic("requests"), "embed_requests", agents.embed_requests, outbox, single=True)
        serve(app, settings.topic("items"), INDEX_ITEMS, self._index_items, outbox, single=True)
        serve(app, settings.topic("candidates"), RANK_FEED, self._rank_feed, outbox)
        app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        app.on_partitions_assigned.connect(self._on_assigned, weak=False)
        return app

    async def run(self) -> None:
        """Serve until a signal comes."""
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        loop.set_exception_handler(_unhandled)

        def drain() -> None:
            self._stopping_since = self._stopping_since or monotonic()
            stop.set()

        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, drain)
        # From here on: SIGTERM must end a start that hangs, too.
        watch([Limit("stopping went on", self._stopping_for, self._settings.drain_timeout)])
        async with AsyncExitStack() as last, AsyncExitStack() as stack:
            await self._start_unless(stop, stack)
            # It beats until all parts have stopped: who drains for long is alive.
            beating = asyncio.create_task(heartbeat(self._health, self._metrics))
            last.callback(beating.cancel)
            self._health.beat()
            watch(self._limits())
            followed = self._control_topic, self._vector_topic
            stack.callback(self._unwinds)
            await self._app.wait_first(
                stop.wait(),
                self._control_topic.follow(),
                self._vector_topic.follow(),
                self._swaps.follow(),
                self._canaries.follow(),
                asyncio.shield(beating),
                watch_state(self._app, self._agents, self._controls, followed, self._health, self._metrics),
                watch_lag(self._app, self._control_topic, self._metrics),
                upkeep(self._controls, self._late, self._outbox, self._settings, partial(self._mine, "items")),
            )
            if not stop.is_set():
                log.critical("Faust ended; what was not acknowledged comes again", exc_info=self._app.crash_reason)
                os._exit(EXIT_FAILURE)
            log.info("stopping")

    async def _start_unless(self, stop: asyncio.Event, stack: AsyncExitStack) -> None:
        """Start all parts. If a signal comes first the process ends here.

        To join a group whose other members died may take longer than there is for stopping. Nothing was acknowledged by
        then, so there is nothing to be finished, either.
        """
        starting, stopping = asyncio.create_task(self._start(stack)), asyncio.create_task(stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not stop.is_set():
            return await starting
        log.info("stopping, before it was ready")
        starting.cancel()
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT):
                await asyncio.wait([starting])
                await self._app.stop()
                await stack.aclose()
        except Exception as error:  # noqa: BLE001  whatever it was that did not work, it was nobody's yet
            log.warning("the others will have to wait for its session to end: %r", error)
        os._exit(0)  # a thread of Faust's that was stopped before it had started never ends

    async def _start(self, stack: AsyncExitStack) -> None:
        host, port = self._settings.monitoring_host, self._settings.monitoring_port
        try:
            server = stack.enter_context(MonitoringServer(self._registry, self._health, host, port))
        except OSError as error:
            raise ConfigError(f"CTRLREC_MONITORING_PORT: {error.strerror}") from error
        # It waits for a call that is under way; away from the event loop, which goes on beating.
        stack.push_async_callback(asyncio.to_thread, self._towers.shutdown, cancel_futures=True)
        for part in (self._outbox, self._control_topic, self._vector_topic):
            await part.start()
            stack.push_async_callback(part.stop)
        await self._vector_topic.assign(range(await self._outbox.partitions(self._vector_topic.topic)))
        await self._app.start()
        stack.push_async_callback(self._app.stop)
        log.info(
            "bundle %s, broker %s, metrics on %s",
            self._agents.serving.model.bundle,
            self._settings.kafka_bootstrap,
            server.url,
        )

    def _limits(self) -> list[Limit]:
        settings = self._settings
        in_hand = settings.stall_timeout + settings.run_length * settings.embed_timeout
        return [
            Limit("the event loop stood still", self._silent_for, settings.stall_timeout),
            Limit("a run was in hand", self._app.held_for, in_hand),
            # All that comes to it afterwards would be late, too, and requests be lost to dead letters.
            Limit(
                "one call of a tower went on", self._towers.busy_for, settings.stall_timeout + settings.embed_timeout
            ),
        ]

    def _unwinds(self) -> None:
        """From here on the worker stops, told to or because of an error, and there is a limit to how long that takes."""
        self._stopping_since = self._stopping_since or monotonic()
        self._health.set("not_draining", False)

    def _silent_for(self) -> float:
        """While the worker stops, the limit of that counts."""
        return 0.0 if self._stopping_since else self._health.silent_for()

    def _stopping_for(self) -> float:
        return monotonic() - self._stopping_since if self._stopping_since else 0.0

    async def _rank_feed(self, run: Run) -> Handled | None:
        """Wait for the controls and, at the start, for the late items; None if all partitions went to other workers
        meanwhile, which will rank the run."""
        while waiting := self._behind(run):
            if lost := waiting - self._mine("candidates"):
                run.keep(run.partitions - lost)
                continue
            if not await self._waits(RANK_FEED):  # as long as it takes to read them, of a large fleet minutes perhaps
                return None
        return await self._agents.rank_feed(run) if run.parts else None

    def _behind(self, run: Run) -> set[int]:
        """Partitions whose lists must wait."""
        if not self._vector_topic.ready:
            return run.partitions
        return {p for p in run.partitions if not self._control_topic.caught_up(p)}

    async def _index_items(self, run: Run) -> Handled | None:
        """Wait until the late items are known, of which there may be so many, and for the item tower: that its file is away
        is no fault of an item's. None if the worker stops before."""
        while not self._vector_topic.ready:
            if not await self._waits(INDEX_ITEMS):
                return None
        while not await self._agents.reads_items():
            look = monotonic() + TOWER_PAUSE
            while monotonic() < look:
                if not await self._waits(INDEX_ITEMS):
                    return None
        return await self._agents.index_items(run)

    async def _waits(self, agent: str) -> bool:
        """Have an agent wait for a moment, as often as need be; False if the worker stops."""
        self._app.waits(agent)
        await asyncio.sleep(0.01)
        return self._stopping_since is None

    def _mine(self, topic: str) -> set[int]:
        """Partitions that the group has assigned to this worker."""
        name = self._settings.topic(topic)
        return {tp.partition for tp in self._app.consumer.assignment() if tp.topic == name}

    async def _off_loop(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._towers, function, *arguments)

    async def _on_revoked(self, _app: App, _revoked: set[TP], **_: Any) -> None:
        self._rebalance_began = monotonic()

    async def _on_assigned(self, _app: App, assigned: set[TP], **_: Any) -> None:
        mine = {tp.partition for tp in assigned if tp.topic == self._candidates}
        await self._control_topic.assign(mine)
        self._controls.keep_only(mine)
        self._metrics.rebalanced(monotonic() - self._rebalance_began)
