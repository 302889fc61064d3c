"""Vectors of an expensive encoder, kept on disk: a text is read by it once, whatever run asks."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ranker.errors import DataError
from ranker.judges.embedding import Embed

STEP = 256
"""Texts embedded before what is known is written down."""
ASKED_AT_ONCE = 500


class VectorCache:
    """`embed`, remembered in an SQLite file. `load` gives the encoder, and is called only where some text is new to it."""

    def __init__(
        self, path: Path, encoder: str, load: Callable[[], Embed], watch: Callable[[int, int], None] | None = None
    ) -> None:
        """`encoder` names the weights: vectors of others are never mixed in. `watch(done, of)` sees new texts go by."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.encoder, self._load, self._watch = encoder, load, watch
        self._embed: Embed | None = None
        try:
            self._file = sqlite3.connect(path)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute(
                "CREATE TABLE IF NOT EXISTS vectors (encoder TEXT, text TEXT, vector BLOB, PRIMARY KEY (encoder, text)) "
                "WITHOUT ROWID"
            )
        except sqlite3.DatabaseError as error:
            raise DataError(f"{path}: is no cache of vectors ({error}); delete it, and it is made anew") from error

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) unit vectors of n texts, n at least 1."""
        distinct = list(dict.fromkeys(texts))
        known = self._known(distinct)
        new = [text for text in distinct if text not in known]
        if new and self._embed is None:
            self._embed = self._load()
        for start in range(0, len(new), STEP):
            assert self._embed is not None
            part = new[start : start + STEP]
            vectors = self._embed(part)
            known.update(zip(part, vectors, strict=True))
            with self._file:
                self._file.executemany(
                    "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)",
                    ((self.encoder, text, row.tobytes()) for text, row in zip(part, vectors, strict=True)),
                )
            if self._watch is not None:
                self._watch(start + len(part), len(new))
        return np.stack([known[text] for text in texts])

    def _known(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        found: dict[str, NDArray[np.float32]] = {}
        for start in range(0, len(texts), ASKED_AT_ONCE):
            part = texts[start : start + ASKED_AT_ONCE]
            marks = ",".join("?" * len(part))
            query = f"SELECT text, vector FROM vectors WHERE encoder = ? AND text IN ({marks})"  # noqa: S608 - marks only
            for text, blob in self._file.execute(query, (self.encoder, *part)):
                found[text] = np.frombuffer(blob, dtype=np.float32)
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()
