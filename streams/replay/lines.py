"""Logs of lines: JSON Lines, plain or compressed.

Each line is `{"topic": ..., "value": {...the event...}}`, of the topics `requests`, `controls`, `candidates`, `items`,
`rankings` and `clicks`; an item is deleted by `{"topic": "items", "key": "<item_id>", "value": null}`, and a control so by its
user.
"""

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, Literal, cast

import msgspec
from msgspec import Struct

from ranker.errors import BadEvent, DataError
from streams.replay.log import Advance, Entries, Entry, Kind, Unreadable

ENVELOPE = 10_000
"""Bytes of a line around its event; a line that is longer is skipped without being read into memory."""
EVERY = 64
"""Lines between two reports of progress."""
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


class LogLine(Struct, frozen=True):
    """One line of a log."""

    topic: Kind
    value: msgspec.Raw
    key: str | None = None


class Lines:
    """A file of lines; `max_event_bytes` is how long an event may be."""

    unit: Literal["bytes", "records"] = "bytes"

    def __init__(self, file: Path, max_event_bytes: int) -> None:
        self.file, self._max_line = file, max_event_bytes + ENVELOPE
        with self._errors():
            self.total = file.stat().st_size

    def identity(self) -> list[str]:
        """The file and when it was changed last."""
        return [str(self.file.resolve()), str(self.total), str(self.file.stat().st_mtime_ns)]

    def entries(self, kinds: Iterable[Kind], advance: Advance) -> Entries:
        """Lines that are none of any kind come too."""
        wanted = set(kinds)
        with self._errors(), self.file.open("rb") as raw:
            # Where only a few lines matter, most need not be parsed.
            names = None if "candidates" in wanted else [f'"{kind}"'.encode() for kind in wanted]
            for number, line in enumerate(_lines(_plain(raw, self.file.suffix), self._max_line), 1):
                if number % EVERY == 0:
                    advance(raw.tell())
                if names and isinstance(line, bytes) and not any(name in line for name in names):
                    continue
                entry = _entry(line, number)
                if isinstance(entry, Unreadable) or entry.kind in wanted:
                    yield entry
        advance(self.total)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self.file} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _plain(raw: IO[bytes], suffix: str) -> IO[bytes]:
    match COMPRESSIONS.get(suffix):
        case None:
            return raw
        case "gzip":
            import gzip

            return cast(IO[bytes], BufferedReader(cast(Any, gzip.GzipFile(fileobj=raw)), 1 << 20))
        case compression:
            import pyarrow as pa

            return cast(
                IO[bytes], BufferedReader(pa.CompressedInputStream(pa.PythonFile(raw, "r"), compression), 1 << 20)
            )


_decoder = msgspec.json.Decoder(LogLine)


def _entry(line: bytes | BadEvent, number: int) -> Entry | Unreadable:
    if isinstance(line, BadEvent):
        return Unreadable(line, number)
    try:
        read = _decoder.decode(line)
    except msgspec.ValidationError as error:
        return Unreadable(BadEvent("schema", str(error)), number)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Unreadable(BadEvent("malformed", str(error)), number)
    value = bytes(read.value)
    return Entry(
        read.topic, None if value == b"null" else value, number, read.key.encode() if read.key else None, 0, len(value)
    )


def _lines(source: IO[bytes], max_line: int) -> Iterator[bytes | BadEvent]:
    """Each line without its end, a refusal for one of more than `max_line` bytes, which is not read into memory."""
    while line := source.readline(max_line + 1):
        rest = line
        while not rest.endswith(b"\n") and (rest := source.readline(max_line)):
            pass
        whole = line.rstrip(b"\r\n")
        yield whole if len(whole) <= max_line else BadEvent("too_large", f"more than {max_line} bytes")
