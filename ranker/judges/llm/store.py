"""Every answer that was paid for, in SQLite, as it arrives: a run that was killed goes on where it was."""

import fcntl
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from ranker.errors import ConfigError, DataError

TABLES = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unanswered (
    key TEXT PRIMARY KEY, subject TEXT NOT NULL, item TEXT NOT NULL, reason TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alone (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY, asked TEXT NOT NULL, model TEXT NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL,
    seconds REAL NOT NULL, outcome TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS calls_asked ON calls (asked);
"""
ASKED_AT_ONCE = 500


class Call(NamedTuple):
    """One answered call: a hash of the items asked, the tokens that the endpoint counted, how long it took, and `ok` or what
    was wrong with it."""

    asked: str
    model: str
    tokens_in: int
    tokens_out: int
    seconds: float
    outcome: str


class Unanswered(NamedTuple):
    """An item that got no valid answer, not even alone, and why."""

    key: str
    subject: str
    item: str
    reason: str


class AnswerStore:
    """One run at a time: two that ask for the same at once would both pay."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError where another run holds the file, DataError where it is none of ours."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock: IO[bytes] = path.with_name(path.name + ".lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise ConfigError(
                f"{path} is in use by another run; wait for it, or set another CTRLREC_LLM_CACHE"
            ) from error
        try:
            self._file = sqlite3.connect(path)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.executescript(TABLES)
        except sqlite3.DatabaseError as error:
            self._lock.close()
            raise DataError(
                f"{path}: is no cache of answers ({error}); move it away, and a new one is begun"
            ) from error

    def answers(self, keys: Iterable[str]) -> dict[str, Any]:
        """The answers that are there, by key."""
        return {key: msgspec.json.decode(answer) for key, answer in self._of("answers", "answer", keys)}

    def reasons(self, keys: Iterable[str]) -> dict[str, str]:
        """Why items have no answer, by key, for those that were given up."""
        return dict(self._of("unanswered", "reason", keys))

    def record(self, call: Call, answers: dict[str, Any]) -> None:
        """What one call brought, in one transaction."""
        with self._file:
            self._file.execute(
                "INSERT INTO calls (asked, model, tokens_in, tokens_out, seconds, outcome) VALUES (?, ?, ?, ?, ?, ?)",
                call,
            )
            self._file.executemany(
                "INSERT OR IGNORE INTO answers VALUES (?, ?)",
                ((key, msgspec.json.encode(answer).decode()) for key, answer in answers.items()),
            )

    def single_out(self, keys: Iterable[str]) -> None:
        """Have these items asked for alone from now on, in later runs, too."""
        with self._file:
            self._file.executemany("INSERT OR IGNORE INTO alone VALUES (?)", ((key,) for key in keys))

    def singled_out(self, keys: Iterable[str]) -> set[str]:
        """Which of these items are to be asked for alone."""
        return {key for key, _ in self._of("alone", "key", keys)}

    def give_up(self, items: Sequence[Unanswered]) -> None:
        """Record items as unanswered: not to be asked for again, and to be named."""
        with self._file:
            self._file.executemany("INSERT OR REPLACE INTO unanswered VALUES (?, ?, ?, ?)", items)

    def forget_unanswered(self) -> int:
        """Have what was given up asked for once more; how many items that is."""
        with self._file:
            return self._file.execute("DELETE FROM unanswered").rowcount

    def seconds_a_call(self, model: str) -> float | None:
        """Mean of what the last calls took; None where there was none."""
        query = "SELECT avg(seconds) FROM (SELECT seconds FROM calls WHERE model = ? ORDER BY id DESC LIMIT 100)"
        mean: float | None = self._file.execute(query, (model,)).fetchone()[0]
        return mean

    def calls(self, since: int = 0) -> list[Call]:
        """The calls after the first `since`."""
        query = "SELECT asked, model, tokens_in, tokens_out, seconds, outcome FROM calls WHERE id > ? ORDER BY id"
        return [Call(*row) for row in self._file.execute(query, (since,))]

    def times_asked(self, asked: str) -> int:
        """How many answers came to a prompt with these items."""
        return int(self._file.execute("SELECT count(*) FROM calls WHERE asked = ?", (asked,)).fetchone()[0])

    def last_call(self) -> int:
        """The number of the last call; 0 where there was none."""
        return int(self._file.execute("SELECT coalesce(max(id), 0) FROM calls").fetchone()[0])

    def close(self) -> None:
        """Close the file and let other runs have it."""
        self._file.close()
        self._lock.close()

    def _of(self, table: str, column: str, keys: Iterable[str]) -> list[tuple[str, str]]:
        wanted = list(dict.fromkeys(keys))
        rows: list[tuple[str, str]] = []
        for start in range(0, len(wanted), ASKED_AT_ONCE):
            part = wanted[start : start + ASKED_AT_ONCE]
            marks = ",".join("?" * len(part))
            rows += self._file.execute(f"SELECT key, {column} FROM {table} WHERE key IN ({marks})", part)  # noqa: S608
        return rows
