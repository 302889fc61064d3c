"""Which kind of log is meant."""

from pathlib import Path
from typing import NamedTuple

from ranker.errors import ConfigError, DataError
from streams.replay.log import Kind, Source
from streams.settings import Settings

KAFKA = "kafka"


class Log(NamedTuple):
    """A file, an archive's folder, or `kafka` with what of it is wanted."""

    name: str
    since: float | None = None
    """Seconds since the epoch; of Kafka only, as the rest."""
    until: float | None = None
    ranges: tuple[str, ...] = ()
    """`topic[partition]@first-last`; those of a topic that is not among them are read whole."""
    asked: tuple[str, ...] = ()
    """`since` and `until` in the user's words: two hours ago is another time whenever it is said."""
    ends: tuple[tuple[Kind, int, int, int], ...] = ()
    """Topic, partition, first offset and the one after the last, once they are known."""
    files: tuple[str, ...] = ()
    """Of an archive, relative to it, once they are known."""


def open_source(log: Log, settings: Settings) -> Source:
    """Raises ConfigError, DataError, BrokerError."""
    if log.name == KAFKA:
        from streams.replay.kafkarange import KafkaRange

        return KafkaRange(log, settings)
    if log.since is not None or log.until is not None or log.ranges:
        raise ConfigError("--since, --until and --range are for `ctrlrec replay kafka`")
    path = Path(log.name)
    if not path.exists():
        raise DataError(f"{path} does not exist (to replay topics, say {KAFKA})")
    if not (path.is_dir() or path.is_file()):
        raise DataError(
            f"{path} is neither a file nor a folder: a log is read more than once, so write it to a file first"
        )
    if path.is_dir() or path.suffix == ".parquet":
        from streams.replay.archive import Archive, Table

        return Archive(path, log.files) if path.is_dir() else Table(path)
    from streams.replay.lines import Lines

    return Lines(path, settings.max_event_bytes)
