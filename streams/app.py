"""The Faust application: three agents over raw bytes, each acknowledging a run when its outputs are confirmed."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from time import monotonic, perf_counter
from typing import Any

import faust

from streams.agents import Handled
from streams.kafka import faust_credentials
from streams.outbox import Outbox
from streams.settings import Settings
from streams.transport import Run, RunTransport
from streams.watchdog import EXIT_FAILURE

log = logging.getLogger(__name__)

Handler = Callable[[Run], Awaitable[Handled | None]]
"""None for a run that is somebody else's by now."""


class App(faust.App):
    """Faust with runs for messages, and with every setting that reliability hangs on."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._in_hand: dict[str, float] = {}
        """Agent → since when it handles its present run."""
        super().__init__(
            settings.group,
            broker=[f"kafka://{server.strip()}" for server in settings.kafka_bootstrap.split(",")],
            broker_credentials=faust_credentials(settings),
            broker_session_timeout=settings.session_timeout,
            broker_heartbeat_interval=settings.heartbeat_interval,
            broker_rebalance_timeout=settings.rebalance_timeout,
            broker_commit_interval=settings.commit_interval,
            broker_max_poll_records=4 * settings.run_length,
            consumer_auto_offset_reset="earliest",
            # Of runs, not of records: more would only wait here instead of in the broker.
            stream_buffer_maxsize=settings.runs_in_flight,
            stream_wait_empty=False,
            # Topics are made by `ctrlrec topics`; a worker needs no right to create any.
            topic_allow_declare=False,
            topic_disable_leader=True,
            table_standby_replicas=0,
            # Faust's own web server listens on all addresses and shows state to anybody.
            web_enabled=False,
            worker_redirect_stdouts=False,
            autodiscover=False,
        )

    def _new_transport(self) -> RunTransport:
        return RunTransport(self.conf.broker_consumer, self, loop=self.loop)

    def held_for(self) -> float:
        """Seconds that the run is in hand which has been so for longest. Safe to call from another thread."""
        return monotonic() - min(list(self._in_hand.values()), default=monotonic())

    @contextmanager
    def in_hand(self, name: str) -> Iterator[None]:
        """The agent handles a run."""
        self._in_hand[name] = monotonic()
        try:
            yield
        finally:
            del self._in_hand[name]

    def waits(self, name: str) -> None:
        """The agent still waits for what is not its own work: its run is in hand from now on."""
        self._in_hand[name] = monotonic()

    def _create_directories(self) -> None:
        """Faust would make a folder for tables, and there are none."""


def serve(app: App, topic: str, name: str, handle: Handler, outbox: Outbox, *, single: bool = False) -> None:
    """Register the agent `name`: handle each run of `topic` in turn, send what comes of it, acknowledge when confirmed.

    Sends overlap with the handling of later runs, at most `runs_in_flight` of them; the consumer sees to it that
    offsets are committed in order. With `single`, each record is sent as a batch of its own and those of a partition in
    order, even where some have to be sent again: of an item or a user the last one counts. Runs then wait for each other.
    """
    channel = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    window = asyncio.Semaphore(app.settings.runs_in_flight)
    sending: set[asyncio.Task[None]] = set()
    order = asyncio.Lock()

    async def confirm(run: Run, handled: Handled) -> None:
        start = perf_counter()
        try:
            async with order if single else nullcontext():
                await outbox.send(handled.outputs, single=single)
            app.consumer.ack(run)
            handled.confirmed(perf_counter() - start)
        finally:
            window.release()

    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            await window.acquire()
            run: Run = event.message
            with app.in_hand(name):
                handled = await handle(run)
            if handled is None:
                window.release()
                continue
            task = asyncio.get_running_loop().create_task(confirm(run, handled))
            sending.add(task)
            task.add_done_callback(sending.discard)
            task.add_done_callback(_exit_on_error)

    app.agent(channel, name=name, concurrency=1)(_guarded(agent))


def _guarded(agent: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """Faust acknowledges and skips the event at which an agent fails: so a failed agent must not outlive its event."""

    async def guarded(stream: Any) -> None:
        try:
            await agent(stream)
        except Exception:
            log.critical(
                "an agent failed; the worker ends, and what it had not acknowledged comes again", exc_info=True
            )
            os._exit(EXIT_FAILURE)

    return guarded


def _exit_on_error(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        log.critical(
            "sending failed; the worker ends, and what it had not acknowledged comes again", exc_info=task.exception()
        )
        os._exit(EXIT_FAILURE)
