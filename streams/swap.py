"""A worker follows the pointer of its store: another bundle takes over without a list dropped or a control lost.

The next bundle is verified and loaded, and all controls and late items at hand are embedded again with its towers, while
the present one serves. Then everything is exchanged in one step of the event loop, between two runs of lists. One that is
damaged or cannot be served is refused by name, and not tried again before the pointer changes.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import NamedTuple, TypeVar

from monitoring.metrics import Metrics
from ranker.bundle import Bundle
from ranker.embed import RequestEmbedder
from ranker.errors import BundleError
from ranker.store import Pointer, Store
from streams.agents import Agents
from streams.lateitems import LateItems
from streams.settings import Settings
from streams.views import Controls

log = logging.getLogger(__name__)
T = TypeVar("T")

POLL = 1.0
"""Seconds between two looks at the pointer."""


class Opened(NamedTuple):
    """What a worker begins with."""

    bundle: Bundle
    pointer: Pointer | None
    """As it was then; None for a single bundle, which is served for good."""


def open_bundle(settings: Settings) -> Opened:
    """The bundle that CTRLREC_BUNDLE names, or the active one of a store.

    If that is damaged, the one that was active before it: a worker that restarts serves what the others still serve.
    Raises BundleError where none can be served.
    """
    store, threads = Store(settings.bundle), settings.tower_threads
    if not store:
        return Opened(Bundle.load(settings.bundle, threads=threads), None)
    pointer = store.pointer()
    refused: list[BundleError] = []
    for version in (pointer.active, *pointer.before):
        try:
            return Opened(store.load(version, threads=threads), pointer)
        except BundleError as error:
            log.error("bundle %s is refused: %s", version, error)
            refused.append(error)
    raise refused[0]


class Swaps:
    """Follows the pointer, for ever."""

    def __init__(
        self,
        settings: Settings,
        opened: Opened,
        agents: Agents,
        controls: Controls,
        late: LateItems,
        metrics: Metrics,
    ) -> None:
        self._settings, self._seen = settings, opened.pointer
        self._agents, self._controls, self._late, self._metrics = agents, controls, late, metrics
        self._store, self._complaint = Store(settings.bundle), ""
        # Not the towers' thread: requests are embedded on while a bundle is read.
        self._files = ThreadPoolExecutor(1, "bundle")
        if opened.pointer and opened.pointer.active != opened.bundle.version:
            metrics.bundle_swap("refused")

    async def follow(self) -> None:
        """Take each bundle that is activated. What is being made ready is given up if the pointer changes meanwhile."""
        taking: asyncio.Task[None] | None = None
        try:
            while True:
                await asyncio.sleep(POLL)
                if self._seen is None or (pointer := await self._pointer()) == self._seen:
                    continue
                self._seen = pointer
                if taking:
                    taking.cancel()
                    await asyncio.wait([taking])
                taking = asyncio.create_task(self._take(pointer.active))
        finally:
            if taking:
                taking.cancel()
            self._files.shutdown(wait=False, cancel_futures=True)

    async def _pointer(self) -> Pointer:
        """The one seen last where it cannot be read, as while a volume is away."""
        try:
            return await self._off_loop(self._store.pointer)
        except BundleError as error:
            if str(error) != self._complaint:
                log.warning("%s", error)
            self._complaint = str(error)
            assert self._seen is not None  # noqa: S101  only a store is followed
            return self._seen

    async def _take(self, version: str) -> None:
        """Serve this version. Whatever goes wrong with it, the present one keeps serving."""
        serving = self._agents.serving.model.bundle
        if version == serving:
            return
        log.info("bundle %s is read, while %s serves", version, serving)
        began = monotonic()
        try:
            bundle = await self._off_loop(lambda: self._load(version))
            await self._exchange(bundle)
        except BundleError as error:
            self._refused(version, serving, error)
        except Exception as error:  # a bug that one bundle meets must not end every worker that takes it
            log.exception("bundle %s met a bug", version)
            self._refused(version, serving, BundleError(f"a bug, {type(error).__name__}"))
        else:
            self._metrics.bundle(bundle.manifest.name, version, bundle.built_at)
            self._metrics.bundle_swap("taken")
            known = f"{len(self._controls)} controls and {len(self._late)} late items"
            log.info("bundle %s serves in place of %s: %s, %.1f s", version, serving, known, monotonic() - began)

    async def _exchange(self, bundle: Bundle) -> None:
        model = bundle.model(self._settings.weight, self._settings.fusion)
        embedder = RequestEmbedder(bundle, self._settings.embed_cache)
        try:
            self._controls.prepare(embedder, model.bundle)
            self._late.prepare(model.items, embedder, model.bundle)
            # This ends: requests that come meanwhile wait for the same thread, and so are no more than it can do.
            while self._controls.behind or self._late.behind:
                await self._controls.catch_up()
                await self._late.catch_up()
            # From here on nothing is awaited: nobody sees one part of one bundle and one of another.
            self._controls.exchange()
            self._late.exchange()
            self._agents.exchange(model, embedder)
        finally:
            self._controls.abandon()
            self._late.abandon()

    def _load(self, version: str) -> Bundle:
        """With the item tower: read later, on the towers' thread, it would keep requests waiting."""
        bundle = self._store.load(version, threads=self._settings.tower_threads)
        _ = bundle.item_tower
        return bundle

    def _refused(self, version: str, serving: str, error: BundleError) -> None:
        self._metrics.bundle_swap("refused")
        log.error("bundle %s is refused, and %s keeps serving: %s", version, serving, error)

    async def _off_loop(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._files, function)
