"""What cannot be processed goes to the dead letters, as it came, with headers that say where from and why."""

import hashlib

from ranker import __version__
from ranker.errors import BadEvent
from streams.outbox import Output
from streams.transport import Record

PREFIX = "ctrlrec.error."
KEPT_BYTES = 500_000
"""Of a value that is larger, only so many bytes are kept; the hash in the headers is of all of it."""


def dead_letter(topic: str, record: Record, error: BadEvent, bundle: str) -> Output:
    """The dead letter of `record`. Its headers never hold a reader's text: an error's message names fields, not values."""
    value = record.value
    about = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "class": error.reason,
        "message": str(error),
        "attempt": str(1 + sum(name == PREFIX + "class" for name, _ in record.headers)),
        "app-version": __version__,
        "bundle": bundle,
        "payload-sha256": hashlib.sha256(value or b"").hexdigest(),
    }
    headers = [*record.headers, *((PREFIX + name, text.encode()) for name, text in about.items())]
    # A dead letter must have a key or a value to be a record at all.
    kept = b"" if value is None and record.key is None else value and value[:KEPT_BYTES]
    return Output(topic, record.partition, record.key, kept, headers, record.timestamp)
