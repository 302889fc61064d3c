"""The three agents: each takes a run of raw records and says what to send for it.

Whatever goes wrong with one event makes it a dead letter, bugs included: they would meet it again at every redelivery.
What goes wrong outside of events ends the process (see `streams.app`); the run was not acknowledged and comes again.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from time import monotonic, perf_counter, time
from typing import Any, NamedTuple

from monitoring.metrics import Metrics
from monitoring.runs import CandidateRun, Outcome
from ranker.embed import RequestEmbedder
from ranker.errors import BadEvent, BundleError
from ranker.events import CandidateList, Degraded, ItemVector, Ranking
from ranker.rank import TOGETHER, Model, rank_run
from ranker.run import Asked, Steering
from streams.controlrecords import withdrawal
from streams.intake import Intake
from streams.lateitems import Source
from streams.outbox import Output
from streams.room import Room
from streams.sampling import Sampler
from streams.settings import Settings
from streams.transport import Record, Run
from streams.views import Controls
from streams.wire import decode_candidates, decode_item, decode_key, decode_request, encode

log = logging.getLogger(__name__)


class Handled(NamedTuple):
    """What to send for a run, and what to call when the broker has confirmed it, with the seconds that this took."""

    outputs: list[Output]
    confirmed: Callable[[float], None]


class Serving(NamedTuple):
    """What belongs to one bundle, and is exchanged together. A run of lists keeps to what it began with."""

    model: Model
    embedder: RequestEmbedder
    sampler: Sampler


class Agents:
    """What the handlers share."""

    def __init__(
        self,
        settings: Settings,
        model: Model,
        embedder: RequestEmbedder,
        controls: Controls,
        towers: Executor,
        metrics: Metrics,
    ) -> None:
        self._settings, self._controls = settings, controls
        self._towers, self._metrics = towers, metrics
        self._intake = Intake(settings, metrics)
        self.exchange(model, embedder)
        self._room = Room(settings.late_items)
        self._rankings, self._controls_topic = settings.topic("rankings"), settings.topic("controls")
        self._vectors = settings.topic("vectors")

    def exchange(self, model: Model, embedder: RequestEmbedder) -> None:
        """Serve another bundle from the next run on. The controls are exchanged in the same step of the event loop."""
        self.serving = Serving(model, embedder, Sampler(model, self._metrics))

    async def rank_feed(self, run: Run) -> Handled:
        """Candidate lists → rankings."""
        notes = CandidateRun(time())
        serving = self.serving
        controls = {partition: self._controls.of(partition) for partition in run.partitions}
        # Both are of one bundle: nothing was awaited between.
        outputs: list[Output] = []
        for first in range(0, len(run.value), TOGETHER):
            outputs += await self._rank_some(run.value[first : first + TOGETHER], serving, controls, notes)
        self._metrics.ranked(notes)
        return Handled(outputs, lambda waited: self._metrics.emitted(notes, time(), waited))

    async def _rank_some(
        self,
        records: Sequence[Record],
        serving: Serving,
        controls: Mapping[int, Mapping[str, Steering]],
        notes: CandidateRun,
    ) -> list[Output]:
        """A ranking or a dead letter for each record, in their order."""
        lists: dict[int, CandidateList] = {}
        asked: dict[int, Asked] = {}
        outputs: dict[int, Output] = {}

        def failed(place: int, error: Exception) -> None:
            outputs[place] = self._intake.dead(records[place], error, serving.model.bundle)
            notes.failed(error.reason if isinstance(error, BadEvent) else "bug")

        notes.start()
        for place, record in enumerate(records):
            try:
                lists[place] = decode_candidates(self._intake.lists(record))
            except Exception as error:  # noqa: BLE001  see the module's docstring
                failed(place, error)
        notes.lap("decode", len(lists))
        # One deadline for all of them: a tower that hangs must not hold up the lists behind once for each.
        until = monotonic() + self._settings.embed_timeout
        for place, candidates in lists.items():
            try:
                of_users = controls[records[place].partition]
                steering = await self._steering(records[place], candidates, serving, of_users, notes, until)
                asked[place] = Asked(candidates, *steering)
            except Exception as error:  # noqa: BLE001
                failed(place, error)
        answers = self._ranked(list(asked.values()), serving, notes)
        encoded: list[tuple[Asked, Ranking]] = []
        for (place, one), answer in zip(asked.items(), answers, strict=True):
            try:
                if isinstance(answer, Exception):
                    raise answer
                partition, key = records[place].partition, records[place].key
                outputs[place] = Output(self._rankings, partition, key, self._encoded(answer, key))
                encoded.append((one, answer))
            except Exception as error:  # noqa: BLE001
                failed(place, error)
        notes.lap("encode", len(encoded))
        notes.ranked(
            [one.candidates.created_at for one, _ in encoded],
            [len(one.candidates.item_ids) for one, _ in encoded],
            sum(ranking.unknown_items for _, ranking in encoded),
            [_OUTCOMES.get(ranking.degraded, "degraded") for _, ranking in encoded],
        )
        serving.sampler.look(encoded)
        return [outputs[place] for place in range(len(records))]

    def _ranked(self, run: Sequence[Asked], serving: Serving, notes: CandidateRun) -> Sequence[Ranking | Exception]:
        """Each list's ranking, or why there is none."""
        try:
            return rank_run(run, serving.model, lap=notes.lap)
        except Exception as error:  # noqa: BLE001  a bug that one list meets must not take the others with it
            if len(run) == 1:
                return [error]
            return [answer for one in run for answer in self._ranked([one], serving, notes)]

    def _encoded(self, ranking: Ranking, key: bytes | None) -> bytes:
        """A broker refuses for ever what is too large for it, and all behind it would wait."""
        value = encode(ranking)
        size = len(value) + len(key or b"")
        if size > (most := self._settings.max_ranking_bytes):
            raise BadEvent("too_large", f"its ranking has {size} bytes with its key; at most {most} are sent")
        return value

    async def _steering(
        self,
        record: Record,
        candidates: CandidateList,
        serving: Serving,
        controls: Mapping[str, Steering],
        notes: CandidateRun,
        until: float,
    ) -> tuple[Steering | None, Degraded]:
        """What steers this list: its own request, embedded by `until`, or else the user's standing one."""
        if candidates.request is None:
            return controls.get(candidates.user_id), "no_control"
        vector = serving.embedder.cached(candidates.request, candidates.context)
        if vector is None:
            if not self._intake.has_request_left(record):
                return None, "rate"
            try:
                seconds = max(0.0, until - monotonic())
                vector = await self._off_loop(
                    seconds, serving.embedder.quantized, candidates.request, candidates.context
                )
            except TimeoutError:
                return None, "deadline"
            finally:
                notes.lap("embed")
            # Once a text, not once a list: it comes with every list of a session, and its reader asked but once.
            self._count("set", candidates.request, candidates.context, serving)
        told = serving.embedder.familiarity(candidates.request, candidates.context)
        ood = told is not None and told.ood
        return Steering(
            candidates.event_id, serving.model.bundle, vector.floats(), vector.scale, None, None, ood
        ), "no_control"

    async def embed_requests(self, run: Run) -> Handled:
        """Control requests → controls."""
        outputs: list[Output] = []
        created: list[float] = []
        began = time()  # the age at which they came to us, not that at which we were done
        for record in run.value:
            serving = self.serving
            try:
                request = decode_request(self._intake.requests(record))
                control = None if request.op == "clear" else await self._in_time(serving.embedder.control, request)
            except Exception as error:  # noqa: BLE001
                outputs.append(self._intake.dead(record, error, serving.model.bundle))
                continue
            value, headers = (None, withdrawal(request.created_at)) if control is None else (encode(control), ())
            outputs.append(Output(self._controls_topic, record.partition, request.user_id.encode(), value, headers))
            created.append(request.created_at)
            self._count(request.op, request.text, request.context, serving)
        self._metrics.consumed("requests", created, began)
        return Handled(outputs, _nothing)

    async def reads_items(self) -> bool:
        """Whether the item tower can be read from its file, which is first done for an item."""
        try:
            await self._off_loop(None, self.serving.embedder.load_item_tower)
        except BundleError as error:
            log.error("no item is read until this is mended: %s", error)
            return False
        return True

    def _count(self, op: str, text: str | None, context: str | None, serving: Serving) -> None:
        """A request that became a control, withdrew one, or steers a list."""
        told = serving.embedder.familiarity(text, context) if text else None
        self._metrics.quality.control_request(op, told is not None and told.ood)
        if told and op == "set":
            self._metrics.quality.familiarity(told.pvalue, told.quantiles, ood=told.ood)

    async def index_items(self, run: Run) -> Handled:
        """Items → item vectors; a record with no value removes the item of its key."""
        outputs: list[Output] = []
        created, began = list[float](), time()
        for record in run.value:
            serving = self.serving
            try:
                raw = self._intake.items(record)
                if raw is None and record.key:
                    key, value = decode_key(record.key).encode(), None
                else:
                    vector: ItemVector = await self._in_time(serving.embedder.item_vector, decode_item(raw))
                    self._room.check(vector, serving.model.items)
                    self._metrics.quality.item_place(serving.embedder.item_quantiles(vector) or ())
                    key, value = vector.item_id.encode(), encode(vector)
            except Exception as error:  # noqa: BLE001
                outputs.append(self._intake.dead(record, error, serving.model.bundle))
            else:
                outputs.append(Output(self._vectors, record.partition, key, value, Source.of(record).headers()))
                created.append(record.timestamp / 1000)
        self._metrics.consumed("items", created, began)
        return Handled(outputs, _nothing)

    async def _in_time(self, function: Callable[..., Any], *arguments: Any) -> Any:
        start = perf_counter()
        try:
            return await self._off_loop(self._settings.embed_timeout, function, *arguments)
        except TimeoutError as error:
            raise BadEvent("deadline", f"the tower took longer than {self._settings.embed_timeout} s") from error
        finally:
            self._metrics.stage("embed", perf_counter() - start)

    async def _off_loop(self, seconds: float | None, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a tower away from the event loop. Raises TimeoutError when it takes longer."""
        call = asyncio.get_running_loop().run_in_executor(self._towers, function, *arguments)
        return await asyncio.wait_for(call, seconds)


_OUTCOMES: dict[Degraded | None, Outcome] = {None: "controlled", "no_control": "base_only"}
"""All others are `degraded`."""


def _nothing(_waited: float) -> None: ...
