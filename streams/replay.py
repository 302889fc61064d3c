"""Replay a log of events through the code that serves: the same decoders, towers, `rank()` and encoder as the agents.

A log is JSON Lines, oldest first, each `{"topic": "requests" | "candidates" | "items", "value": {...the event...}}`; an
item is deleted by `{"topic": "items", "key": "<item_id>", "value": null}`. The same log, bundle and options give the
same bytes.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Literal

import msgspec
from msgspec import Struct

from ranker.embed import RequestEmbedder, Towers
from ranker.errors import BadEvent, DataError
from ranker.events import Control, Ranking
from ranker.rank import Model, Steering, rank
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
        self._controls: dict[str, Control] = {}
        self.summary = Summary()

    def apply(self, line: bytes) -> bytes | None:
        """Apply one line; the ranking's JSON for a candidate list. Raises BadEvent for what the agents refuse."""
        start = time.perf_counter()
        event = _log_line(line)
        value = bytes(event.value)
        if len(value) > self.max_event_bytes:
            raise BadEvent("too_large", f"{len(value)} bytes; at most {self.max_event_bytes} are read")
        answer = None
        match event.topic:
            case "requests":
                self._request(value)
            case "items":
                self._item(event.key, value)
            case "candidates":
                answer = self._candidates(value)
                self.summary.ranking_seconds += time.perf_counter() - start
        self.summary.events[event.topic] += 1
        return answer

    def _request(self, value: bytes) -> None:
        request = decode_request(value)
        if request.op == "clear":
            self._controls.pop(request.user_id, None)
            return
        control = self._embedder.control(request)
        former = self._controls.get(request.user_id)
        if former is None or control.created_at >= former.created_at:
            self._controls[request.user_id] = control

    def _item(self, key: str | None, value: bytes) -> None:
        if value == b"null":
            if not key:
                raise BadEvent("schema", "neither an item nor the key of one to delete")
            self._model.items.remove(key)
            return
        item = self._embedder.item_vector(decode_item(value))
        self._model.items.put(item.item_id, Quantized(item.vector, item.scale))

    def _candidates(self, value: bytes) -> bytes:
        candidates = decode_candidates(value)
        if candidates.request is None:
            control = self._controls.get(candidates.user_id)
            steering = Steering.of(control) if control else None
        else:
            vector = self._embedder.quantized(candidates.request, candidates.context)
            steering = Steering(candidates.event_id, self._model.bundle, vector.floats(), vector.scale, None, None)
        if self._weight is not None:
            candidates = msgspec.structs.replace(candidates, weight=self._weight)
        ranking = rank(candidates, steering, self._model)
        self._note(ranking)
        return encode(ranking)

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
            for number, line in enumerate(_lines(source, max_line), 1):
                try:
                    answer = replay.apply(_complete(line, max_line))
                except BadEvent as error:
                    if strict:
                        raise DataError(f"{log}:{number}: {error.reason}: {error}") from error
                    replay.summary.bad[error.reason] += 1
                    skipped = skipped or files.enter_context(bad_file.open("wb"))
                    skipped.write(encode(BadLine(number, error.reason, str(error))) + b"\n")
                else:
                    if answer is not None:
                        target.write(answer + b"\n")
                if progress and number % EVERY == 0:
                    progress(source.tell())
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


def _lines(source: IO[bytes], max_line: int) -> Iterator[bytes]:
    """Each line, cut off after `max_line` bytes and one, without its end."""
    while line := source.readline(max_line + 1):
        rest = line
        while not rest.endswith(b"\n") and (rest := source.readline(max_line)):
            pass
        yield line.rstrip(b"\r\n")


def _complete(line: bytes, max_line: int) -> bytes:
    if len(line) > max_line:
        raise BadEvent("too_large", f"more than {max_line} bytes")
    return line


def _beside(out: Path, suffix: str) -> Path:
    return out.with_name(out.name + suffix)
