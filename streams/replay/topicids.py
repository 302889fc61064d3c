"""Whether a topic is still the one that an archive holds. One that was deleted and made again under its name counts from offset
0 anew: what it has now would be taken for what was recorded, or be put behind it. A broker tells them apart by an id (KIP-516).

    ARCHIVE/.topic-ids/candidates
"""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from kafka.admin import KafkaAdminClient

from ranker.durable import replacing
from ranker.errors import DataError
from streams.kafka import kafka_python_connection
from streams.settings import Settings

NOTES = ".topic-ids"


class TopicIds:
    """The ids of an archive's topics: noted when a topic is recorded first, and compared from then on."""

    def __init__(self, settings: Settings, archive: Path) -> None:
        self._settings, self._archive = settings, archive
        self._noted: dict[str, str] = {}
        self._admin: Any = KafkaAdminClient(**kafka_python_connection(settings))

    def check(self, topics: Iterable[str] = ()) -> None:
        """Those that were checked before, and `topics`, without their prefix. Raises DataError for one that is another."""
        wanted = [*dict.fromkeys((*self._noted, *topics))]
        for topic, is_now in zip(wanted, self._ids(wanted), strict=True):
            if is_now is None:  # a broker of before Apache Kafka 2.8, or one whose topic is being made or deleted
                continue
            was = self._noted.get(topic) or self._note(topic, is_now)
            if was != is_now:
                raise DataError(
                    f"{self._settings.topic(topic)} was deleted and made again since it was recorded: record it into another "
                    f"archive (its id was {was}, noted in {self._file(topic)}, and is {is_now})"
                )

    def _ids(self, topics: list[str]) -> list[str | None]:
        if not topics:
            return []
        told = {
            each["name"]: each for each in self._admin.describe_topics([self._settings.topic(each) for each in topics])
        }
        ids = [told.get(self._settings.topic(each), {}).get("topic_id") for each in topics]
        return [str(each) if each and UUID(str(each)).int else None for each in ids]

    def _note(self, topic: str, is_now: str) -> str:
        """What was noted of a topic, or is now."""
        file = self._file(topic)
        try:
            if file.exists():
                self._noted[topic] = file.read_text().strip()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                with replacing(file) as opened:
                    opened.write(f"{is_now}\n".encode())
                self._noted[topic] = is_now
        except OSError as error:
            raise DataError(f"{file} cannot be read or written: {error.strerror}") from error
        return self._noted[topic]

    def _file(self, topic: str) -> Path:
        return self._archive / NOTES / topic

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admin.close()
