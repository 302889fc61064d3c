"""What a log says elsewhere of its lists: what served each of them, and what was clicked. On disk, in the order of ids.

It is gathered before the replay, since a ranking and its clicks lie behind their list. A ranking that was sent twice
counts once, the first time; so does a click.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

from ranker.errors import BadEvent
from ranker.events import ControlRequest, Degraded, Id
from streams.replay.engagement import Clicked
from streams.replay.log import SAID, Advance, BadLine, Entry, Source, Where, bad_line
from streams.replay.state import request_of
from streams.wire import decode_control, decode_ranking, decode_request, encode

KNOWN = "known.sqlite"
CHUNK = 500
"""Ids that are looked up at a time."""
_TABLES = """
create table served (event_id text primary key, bundle text, request_id text, degraded text, digest blob) without rowid;
create table clicks (event_id text, item_id text, place integer, spot blob, primary key (event_id, item_id)) without rowid;
create table requests (request_id text primary key, value blob) without rowid;
create table skipped (reason text);
create table bad (line blob);
"""


class Click(Struct, frozen=True, kw_only=True):
    """An outcome, in the topic `clicks`: a reader chose an item of a list."""

    event_id: Id
    """The candidate list's."""
    item_id: Id
    position: Annotated[int, Meta(ge=0, lt=1 << 31)] | None = None
    """Its place as shown, from 0; without it, that in the recorded ranking."""


class Served(NamedTuple):
    """What a recorded ranking says."""

    bundle: str
    request_id: str | None
    degraded: Degraded | None
    digest: bytes


_click_decoder = msgspec.json.Decoder(Click)
_where_decoder = msgspec.msgpack.Decoder(Where)


def digest(ranking: bytes) -> bytes:
    """Two rankings are the same bytes where these are."""
    return blake2b(ranking, digest_size=16).digest()


def gather(source: Source, file: Path, *, served: bool, advance: Advance) -> None:
    """Write `file`, if it is not there: the clicks, and what served the lists, if that is wanted. In one step, at the end."""
    if file.exists():
        return
    unfinished = file.with_name(file.name + ".part")
    unfinished.unlink(missing_ok=True)
    database = sqlite3.connect(unfinished)
    try:
        # The file is worth nothing before it is whole.
        database.executescript("pragma journal_mode = off; pragma synchronous = off;" + _TABLES)
        for entry in _entries(source, ("clicks",), advance):
            _note(database, _add_click, entry)
        missing = database.execute("select 1 from clicks where place is null limit 1").fetchone() is not None
        if served or missing:
            for entry in _entries(source, ("rankings",), advance):
                _note(database, lambda to, each: _add_ranking(to, each, missing=missing, served=served), entry)
        if served:
            for kind, add in (("requests", _add_request), ("controls", _add_control)):
                for entry in _entries(source, (kind,), advance):
                    _note(database, add, entry)
        database.execute("insert into skipped select 'place' from clicks where place is null")
        database.execute("delete from clicks where place is null")
        database.commit()
    finally:
        database.close()
    unfinished.replace(file)


def _entries(source: Source, kinds: tuple[str, ...], advance: Advance) -> Iterator[Entry]:
    for entry in source.entries(kinds, advance):  # type: ignore[arg-type]
        if isinstance(entry, Entry):
            yield entry


def _note(database: sqlite3.Connection, add: Callable[[sqlite3.Connection, Entry], None], entry: Entry) -> None:
    try:
        add(database, entry)
    except BadEvent as error:
        database.execute("insert into skipped values (?)", (f"{entry.kind}: {error.reason}",))
        if entry.kind in SAID:  # a request is listed when it is replayed
            line = bad_line(entry.where, BadEvent(error.reason, f"{entry.kind}: {error}"))
            database.execute("insert into bad values (?)", (msgspec.msgpack.encode(line),))


def _add_click(database: sqlite3.Connection, entry: Entry) -> None:
    try:
        click = _click_decoder.decode(entry.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadEvent("schema", str(error)) from error
    row = click.event_id, click.item_id, click.position, msgspec.msgpack.encode(entry.where)
    database.execute("insert or ignore into clicks values (?, ?, ?, ?)", row)


def _add_ranking(database: sqlite3.Connection, entry: Entry, *, missing: bool, served: bool) -> None:
    """`missing`: there are clicks that do not say where the item stood."""
    ranking = decode_ranking(entry.value)
    if served:
        row = ranking.event_id, ranking.bundle, ranking.request_id, ranking.degraded, digest(entry.value or b"")
        database.execute("insert or ignore into served values (?, ?, ?, ?, ?)", row)
    if not missing:
        return
    of_list = "select item_id from clicks where event_id = ? and place is null"
    clicked = {row[0] for row in database.execute(of_list, (ranking.event_id,))}
    places = [
        (place, ranking.event_id, item_id) for place, item_id in enumerate(ranking.item_ids) if item_id in clicked
    ]
    database.executemany("update clicks set place = ? where event_id = ? and item_id = ?", places)


def _add_request(database: sqlite3.Connection, entry: Entry) -> None:
    request = decode_request(entry.value)
    if request.op == "set":
        database.execute("insert or ignore into requests values (?, ?)", (request.event_id, entry.value))


def _add_control(database: sqlite3.Connection, entry: Entry) -> None:
    """A request that is older than the log is known by what workers made of it."""
    if entry.value is not None:
        request = request_of(decode_control(entry.value))
        database.execute("insert or ignore into requests values (?, ?)", (request.event_id, encode(request)))


class Known:
    """What was gathered. For one thread."""

    def __init__(self, file: Path) -> None:
        self._database = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
        self.clicks = self._count("clicks")
        self.rankings = self._count("served")

    def skipped(self) -> dict[str, int]:
        """Rankings and clicks that could not be used, by why; `place`: clicks that do not say where the item stood."""
        return dict(self._database.execute("select reason, count(*) from skipped group by reason order by reason"))

    def bad(self) -> Iterator[BadLine]:
        """Clicks and rankings that are none, as they came."""
        for (line,) in self._database.execute("select line from bad order by rowid"):
            yield msgspec.msgpack.decode(line, type=BadLine)

    def served(self, event_ids: Collection[str]) -> dict[str, Served]:
        """What is known of these lists."""
        found = self._of("select event_id, bundle, request_id, degraded, digest from served", event_ids)
        return {event_id: Served(*rest) for event_id, *rest in found}

    def clicked(self, event_ids: Collection[str]) -> dict[str, list[Clicked]]:
        """The clicks on these lists."""
        found = defaultdict[str, list[Clicked]](list)
        for event_id, item_id, place, spot in self._of("select event_id, item_id, place, spot from clicks", event_ids):
            found[event_id].append(Clicked(item_id, place, _where_decoder.decode(spot)))
        return found

    def request(self, request_id: str) -> ControlRequest | None:
        """The request of this id, if the log has it."""
        row = self._database.execute("select value from requests where request_id = ?", (request_id,)).fetchone()
        return decode_request(row[0]) if row else None

    def close(self) -> None:
        self._database.close()

    def _count(self, table: str) -> int:
        return int(self._database.execute(f"select count(*) from {table}").fetchone()[0])  # noqa: S608  our own names

    def _of(self, select: str, event_ids: Collection[str]) -> Iterator[tuple[Any, ...]]:
        ids = list(event_ids)
        for first in range(0, len(ids), CHUNK):
            some = ids[first : first + CHUNK]
            yield from self._database.execute(f"{select} where event_id in ({','.join('?' * len(some))})", some)
