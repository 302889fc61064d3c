"""Replay a log of events through the code that serves: the same decoders, towers, `rank_run()` and encoder as the agents.

A log is JSON Lines, oldest first, each `{"topic": "requests" | "candidates" | "items", "value": {...the event...}}`; an
item is deleted by `{"topic": "items", "key": "<item_id>", "value": null}`. The same log, bundle and options give the
same bytes.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Literal

import msgspec
from msgspec import Struct

from ranker.embed import RequestEmbedder, Towers
from ranker.errors import BadEvent, DataError
from ranker.events import Ranking
from ranker.rank import TOGETHER, Asked, Model, Steering, rank_run
from ranker.vectors import Quantized
from streams.standarderror import ClusteredMean
from streams.wire import decode_candidates, decode_item, decode_request, encode

MAX_EVENT = 900_000
"""Bytes of one event, as CTRLREC_MAX_EVENT_BYTES."""
ENVELOPE = 10_000
"""Bytes of a line around its event; a line that is longer is skipped without being read into memory."""
EVERY = 64
"""Lines between two reports of progress."""


class LogLine(Struct, frozen=True):
    """One line of a log."""

    topic: Literal["requests", "candidates", "items"]
    value: msgspec.Raw
    key: str | None = None


class BadLine(Struct, frozen=True):
    """A line that was skipped, as it is written to the file beside the rankings."""

    line: int
    reason: str
    message: str


class Summary:
    """What a replay amounts to."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        """By topic."""
        self.bad: Counter[str] = Counter()
        """Lines by the reason for which they were skipped."""
        self.degraded: Counter[str] = Counter()
        """Rankings by the reason for which they are less than what was asked for."""
        self.gain = ClusteredMean()
        """Adherence gain; the lists of one user resemble each other and are one cluster."""
        self.ranking_seconds = 0.0
        """From a candidate list's line to its ranking's bytes, summed."""


class Replay:
    """The state that events change: controls by user, and items that came after the bundle."""

    def __init__(
        self, bundle: Towers, model: Model, *, weight: float | None = None, max_event_bytes: int = MAX_EVENT
    ) -> None:
        """`weight`, if given, stands in for every weight that a list or a request names."""
        self._model, self._weight, self.max_event_bytes = model, weight, max_event_bytes
        self._embedder = RequestEmbedder(bundle)
        self._controls: dict[str, tuple[float, Steering]] = {}
        """When the control in force was made, and what steers by it."""
        self.summary = Summary()

    def answers(self, lines: Iterable[bytes | BadEvent]) -> Iterator[tuple[int, bytes | BadEvent]]:
        """Go through lines, or what is wrong with them. Yields the number of each line, from 1, that holds a candidate
        list, and its ranking's JSON; or of one that the agents would refuse, and why. In the order of the lines."""
        waiting: list[tuple[int, Asked]] = []
        for number, line in enumerate(lines, 1):
            start = time.perf_counter()
            try:
                event, value = self._event(line)
                if event.topic == "candidates":
                    waiting.append((number, self._asked(value)))
                    self.summary.ranking_seconds += time.perf_counter() - start
                elif event.topic == "requests":
                    self._request(value)
                else:
                    yield from self._ranked(waiting)  # with the items that there were
                    self._item(event.key, value)
            except BadEvent as error:
                yield from self._ranked(waiting)
                yield number, error
                continue
            if event.topic != "candidates":
                self.summary.events[event.topic] += 1
            elif len(waiting) == TOGETHER:
                yield from self._ranked(waiting)
        yield from self._ranked(waiting)

    def _ranked(self, waiting: list[tuple[int, Asked]]) -> Iterator[tuple[int, bytes | BadEvent]]:
        """Rank what waits, which then no longer does."""
        start = time.perf_counter()
        answers = rank_run([asked for _, asked in waiting], self._model) if waiting else []
        encoded = [answer if isinstance(answer, BadEvent) else encode(answer) for answer in answers]
        self.summary.ranking_seconds += time.perf_counter() - start
        numbers = [number for number, _ in waiting]
        waiting.clear()
        for number, answer, output in zip(numbers, answers, encoded, strict=True):
            if isinstance(answer, Ranking):
                self.summary.events["candidates"] += 1
                self._note(answer)
            yield number, output

    def _event(self, line: bytes | BadEvent) -> tuple[LogLine, bytes]:
        if isinstance(line, BadEvent):
            raise line
        event = _log_line(line)
        value = bytes(event.value)
        if len(value) > self.max_event_bytes:
            raise BadEvent("too_large", f"{len(value)} bytes; at most {self.max_event_bytes} are read")
        return event, value

    def _request(self, value: bytes) -> None:
        request = decode_request(value)
        if request.op == "clear":
            self._controls.pop(request.user_id, None)
            return
        control = self._embedder.control(request)
        former, _ = self._controls.get(request.user_id, (control.created_at, None))
        if control.created_at >= former:
            self._controls[request.user_id] = control.created_at, Steering.of(control)

    def _item(self, key: str | None, value: bytes) -> None:
        if value == b"null":
            if not key:
                raise BadEvent("schema", "neither an item nor the key of one to delete")
            self._model.items.remove(key)
            return
        item = self._embedder.item_vector(decode_item(value))
        self._model.items.put(item.item_id, Quantized(item.vector, item.scale))

    def _asked(self, value: bytes) -> Asked:
        candidates = decode_candidates(value)
        if candidates.request is None:
            _, steering = self._controls.get(candidates.user_id, (0.0, None))
        else:
            vector = self._embedder.quantized(candidates.request, candidates.context)
            steering = Steering(candidates.event_id, self._model.bundle, vector.floats(), vector.scale, None, None)
        if self._weight is not None:
            candidates = msgspec.structs.replace(candidates, weight=self._weight)
        return Asked(candidates, steering)

    def _note(self, ranking: Ranking) -> None:
        if ranking.degraded:
            self.summary.degraded[ranking.degraded] += 1
        if ranking.adherence and ranking.adherence.gain is not None:
            self.summary.gain.add(ranking.user_id, ranking.adherence.gain)


def replay_file(
    replay: Replay,
    log: Path,
    out: Path,
    *,
    strict: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Summary:
    """Write one ranking a line to `out`, and what was skipped to `out` with `.bad` added to its name, if anything was.

    `progress` is told how many bytes of the log were read. Raises DataError for files that cannot be read or written
    and, if `strict`, for the first line that would be skipped; `out` is only replaced when all went well.
    """
    if out.exists() and out.samefile(log):
        raise DataError(f"{out} is the log itself")
    max_line = replay.max_event_bytes + ENVELOPE
    unfinished, bad_file = _beside(out, ".part"), _beside(out, ".bad")
    try:
        bad_file.unlink(missing_ok=True)
        with ExitStack() as files:
            source = files.enter_context(log.open("rb"))
            target = files.enter_context(unfinished.open("wb"))
            skipped: IO[bytes] | None = None
            for number, answer in replay.answers(_lines(source, max_line, progress)):
                if isinstance(answer, bytes):
                    target.write(answer + b"\n")
                    continue
                if strict:
                    raise DataError(f"{log}:{number}: {answer.reason}: {answer}") from answer
                replay.summary.bad[answer.reason] += 1
                skipped = skipped or files.enter_context(bad_file.open("wb"))
                skipped.write(encode(BadLine(number, answer.reason, str(answer))) + b"\n")
        unfinished.replace(out)
    except OSError as error:
        raise DataError(f"{error.filename or out}: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return replay.summary


_decoder = msgspec.json.Decoder(LogLine)


def _log_line(line: bytes) -> LogLine:
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError as error:
        raise BadEvent("schema", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadEvent("malformed", str(error)) from error


def _lines(source: IO[bytes], max_line: int, progress: Callable[[int], object] | None) -> Iterator[bytes | BadEvent]:
    """Each line without its end, a refusal for one of more than `max_line` bytes, which is not read into memory."""
    read = 0
    while line := source.readline(max_line + 1):
        rest = line
        while not rest.endswith(b"\n") and (rest := source.readline(max_line)):
            pass
        whole = line.rstrip(b"\r\n")
        yield whole if len(whole) <= max_line else BadEvent("too_large", f"more than {max_line} bytes")
        read += 1
        if progress and read % EVERY == 0:
            progress(source.tell())


def _beside(out: Path, suffix: str) -> Path:
    return out.with_name(out.name + suffix)
