"""Dead letters, read: what each says about itself, and which of them somebody wants."""

import hashlib
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from msgspec import Struct

from streams.deadletters import KEPT_KEY, PREFIX, redrives
from streams.scan import scan
from streams.settings import Settings
from streams.topics import SOURCES

UNKNOWN = "unknown"
"""The class of what lies among the dead letters and has no headers of one."""


class Letter(NamedTuple):
    """A dead letter."""

    partition: int
    offset: int
    time: int
    """When it became one, in milliseconds."""
    reason: str
    message: str
    topic: str | None
    """Where it came from, one of `topics.SOURCES`; None if its headers name no such place."""
    source: str
    """The same in full, as its headers say: topic[partition]@offset."""
    source_partition: int
    source_offset: int
    attempt: int
    cut: str
    """What of it was too large to be kept, such as "value headers"."""
    size: int
    record: Any

    @property
    def place(self) -> str:
        return f"{self.partition}@{self.offset}"


class Wanted(Struct, frozen=True, kw_only=True):
    """Which dead letters; empty or None is any."""

    reasons: Collection[str] = ()
    topics: Collection[str] = ()
    since: int | None = None
    until: int | None = None
    """Milliseconds; `until` itself no longer."""
    partition: int | None = None
    first: int | None = None
    last: int | None = None
    """Offsets among the dead letters, both wanted."""

    def __contains__(self, letter: Letter) -> bool:
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.topics or letter.topic in self.topics)
            and (self.since is None or letter.time >= self.since)
            and (self.until is None or letter.time < self.until)
            and (self.partition is None or letter.partition == self.partition)
            and (self.first is None or letter.offset >= self.first)
            and (self.last is None or letter.offset <= self.last)
        )


def letters(settings: Settings, wanted: Wanted) -> Iterator[Letter]:
    """All that are wanted, those of a partition in their order. Raises BrokerError."""
    starts = None if wanted.partition is None else {wanted.partition: wanted.first or 0}
    for record in scan(settings, "dead-letters", starts):
        letter = read(settings, record)
        if letter in wanted:
            yield letter


def read(settings: Settings, record: Any) -> Letter:
    """Whatever is written there: another program may have written it."""
    said = about(record)
    topic = said.get("topic", "").removeprefix(settings.topic_prefix)
    partition, offset = _number(said.get("partition")), _number(said.get("offset"))
    known = topic in SOURCES and said["topic"] == settings.topic(topic) and partition >= 0 and offset >= 0
    return Letter(
        record.partition, record.offset, record.timestamp,
        said.get("class", UNKNOWN), said.get("message", ""),
        topic if known else None, f"{said.get('topic', '?')}[{partition}]@{offset}" if said else "?", partition, offset,
        max(1, _number(said.get("attempt")), 1 + redrives(record)), _cut(record, said),
        len(record.value or b"") + len(record.key or b""), record,
    )  # fmt: skip


def about(record: Any) -> dict[str, str]:
    """What its headers say. The last of a name counts: the worker's come after whatever the sender wrote."""
    return {
        name.removeprefix(PREFIX): (value or b"").decode(errors="replace")
        for name, value in record.headers
        if name.startswith(PREFIX)
    }


def _cut(record: Any, said: dict[str, str]) -> str:
    """Version 0.1.0 did not say it: there, the hash tells of the value, and nothing of the headers."""
    if "cut" in said or "payload-sha256" not in said:
        return said.get("cut", "")
    parts = []
    if hashlib.sha256(record.value or b"").hexdigest() != said["payload-sha256"]:
        parts.append("value")
    if len(record.key or b"") >= KEPT_KEY:
        parts.append("key")
    return " ".join(parts)


def _number(text: str | None) -> int:
    """-1 for what is none."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 19 else -1
