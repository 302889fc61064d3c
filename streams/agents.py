"""The three agents: each takes a run of raw records and returns what to send for it.

No exception leaves a handler for what an event holds: it becomes a dead letter. What is left is a bug or a broken machine,
and ends the process (see `streams.app`); the run was not acknowledged and comes again.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from ranker.embed import RequestEmbedder
from ranker.errors import BadEvent
from ranker.events import CandidateList, Degraded
from ranker.rank import Model, Steering, rank
from streams.deadletters import dead_letter
from streams.outbox import Output
from streams.settings import Settings
from streams.transport import Run
from streams.views import Controls
from streams.wire import decode_candidates, decode_item, decode_request, encode

log = logging.getLogger(__name__)


class Agents:
    """What the handlers share."""

    def __init__(
        self, settings: Settings, model: Model, embedder: RequestEmbedder, controls: Controls, towers: Executor
    ) -> None:
        self._settings, self._model, self._embedder, self._controls = settings, model, embedder, controls
        self._towers = towers
        self._rankings, self._controls_topic = settings.topic("rankings"), settings.topic("controls")
        self._vectors, self._dead_letters = settings.topic("vectors"), settings.topic("dead-letters")

    async def off_loop(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a tower away from the event loop. Raises TimeoutError when it takes longer than the deadline."""
        call = asyncio.get_running_loop().run_in_executor(self._towers, function, *arguments)
        return await asyncio.wait_for(call, self._settings.embed_timeout)

    async def rank_feed(self, run: Run) -> list[Output]:
        """Candidate lists → rankings."""
        outputs: list[Output] = []
        for record in run.value:
            try:
                candidates = decode_candidates(self._checked(record.value))
                steering, why = await self._steering(candidates, run.partition)
                ranking = rank(candidates, steering, self._model, degraded=why)
            except BadEvent as error:
                outputs.append(self._dead(record, error))
            else:
                outputs.append(Output(self._rankings, run.partition, record.key, encode(ranking)))
        return outputs

    async def _steering(self, candidates: CandidateList, partition: int) -> tuple[Steering | None, Degraded]:
        """What steers this list: its own request, or else the user's standing one."""
        if candidates.request is None:
            return self._controls.of(partition, candidates.user_id), "no_control"
        vector = self._embedder.cached(candidates.request, candidates.context)
        if vector is None:
            try:
                vector = await self.off_loop(self._embedder.quantized, candidates.request, candidates.context)
            except TimeoutError:
                return None, "deadline"
        return Steering(candidates.event_id, self._model.bundle, vector.floats(), vector.scale, None, None), "no_control"

    async def embed_requests(self, run: Run) -> list[Output]:
        """Control requests → controls."""
        outputs: list[Output] = []
        for record in run.value:
            try:
                request = decode_request(self._checked(record.value))
                control = None if request.op == "clear" else await self._in_time(self._embedder.control, request)
            except BadEvent as error:
                outputs.append(self._dead(record, error))
            else:
                value = None if control is None else encode(control)
                outputs.append(Output(self._controls_topic, run.partition, request.user_id.encode(), value))
        return outputs

    async def index_items(self, run: Run) -> list[Output]:
        """Items → item vectors; a record with no value removes the item of its key."""
        outputs: list[Output] = []
        for record in run.value:
            try:
                if record.value is None and record.key:
                    outputs.append(Output(self._vectors, run.partition, record.key, None))
                    continue
                item = decode_item(self._checked(record.value))
                vector = await self._in_time(self._embedder.item_vector, item)
            except BadEvent as error:
                outputs.append(self._dead(record, error))
            else:
                outputs.append(Output(self._vectors, run.partition, item.item_id.encode(), encode(vector)))
        return outputs

    async def _in_time(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await self.off_loop(function, *arguments)
        except TimeoutError as error:
            raise BadEvent("deadline", f"the tower took longer than {self._settings.embed_timeout} s") from error

    def _checked(self, value: bytes | None) -> bytes | None:
        if value is not None and len(value) > self._settings.max_event_bytes:
            raise BadEvent("too_large", f"{len(value)} bytes; at most {self._settings.max_event_bytes} are read")
        return value

    def _dead(self, record: Any, error: BadEvent) -> Output:
        return dead_letter(self._dead_letters, record, error, self._model.bundle)
