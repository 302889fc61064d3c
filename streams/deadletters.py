"""What cannot be processed goes to the dead letters, as it came, with headers that say where from and why."""

import hashlib

from ranker import __version__
from ranker.errors import BadEvent
from streams.outbox import Output
from streams.transport import Record, headers_size

PREFIX = "ctrlrec.error."
REDRIVEN = "ctrlrec.redriven"
"""Header of what was a dead letter and was sent back: how often, so that poison does not circle for ever."""
KEPT_BYTES = 500_000
"""Of a value that is larger, only so many bytes are kept; the hash in the headers is of all of it."""
KEPT_KEY, KEPT_HEADERS = 10_000, 100_000
"""The same of a key; headers are kept if all of them have no more bytes than this."""


def redrives(record: Record) -> int:
    """How often it was sent back. Whoever writes nonsense there has written 0."""
    said = (value or b"" for name, value in record.headers if name == REDRIVEN)
    return max((int(text) for text in said if text.isdigit() and len(text) <= 9), default=0)


def dead_letter(topic: str, record: Record, error: BadEvent, bundle: str) -> Output:
    """The dead letter of `record`. No header holds a reader's text: an error's message names fields, not values."""
    value = record.value
    # The original's time is a header: as the dead letter's own, an old one would have it deleted before its retention.
    about = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp": str(record.timestamp),
        "class": error.reason,
        "message": str(error),
        "attempt": str(1 + redrives(record) + sum(name == PREFIX + "class" for name, _ in record.headers)),
        "app-version": __version__,
        "bundle": bundle,
        "payload-sha256": hashlib.sha256(value or b"").hexdigest(),
    }
    own = record.headers if headers_size(record) <= KEPT_HEADERS else ()
    # A dead letter must have a key or a value to be a record at all.
    kept = b"" if value is None and record.key is None else value and value[:KEPT_BYTES]
    key = record.key and record.key[:KEPT_KEY]
    cut = {"value": len(value or b"") > KEPT_BYTES, "key": key != record.key, "headers": own is not record.headers}
    if any(cut.values()):
        about["cut"] = " ".join(part for part, shorter in cut.items() if shorter)
    headers = [*own, *((PREFIX + name, text.encode()) for name, text in about.items())]
    return Output(topic, record.partition, key, kept, headers)
