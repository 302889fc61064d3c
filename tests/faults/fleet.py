"""Workers of one group under load."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaTimeoutError

from streams.kafka import kafka_python_connection
from streams.supervise import WorkerProcess
from tests.live import TIMEOUT, Live, live_settings
from tests.load import Load

RATE = 250
"""Lists a second."""


class Fleet:
    """Whatever a test starts, it ends."""

    def __init__(self, bootstrap: str, bundle: Path, folder: Path, rate: float = RATE, **changes: Any) -> None:
        """`changes` are of the settings."""
        self.live = Live(live_settings(bootstrap, bundle, **({"partitions": 4} | changes)), folder)
        self.load = Load(self.live, rate)
        self._workers: list[WorkerProcess] = []

    def join(self, *wrap: str) -> WorkerProcess:
        """One more worker, ready; `wrap` goes before its command."""
        worker = self.starting(*wrap)
        worker.wait_ready(TIMEOUT)
        return worker

    def starting(self, *wrap: str) -> WorkerProcess:
        worker = self.live.another(*wrap)
        self._workers.append(worker)
        worker.start()
        return worker

    @property
    def worker(self) -> WorkerProcess:
        """The one that joined last."""
        return self._workers[-1]

    def change(self, **settings: Any) -> None:
        """Of workers that are yet to start."""
        self.live.settings = msgspec.structs.replace(self.live.settings, **settings)

    def keep_alive(self) -> int:
        """What a supervisor does: another worker for each that ended. How many there were."""
        ended = [worker for worker in self._workers if worker.process.poll() is not None]
        for worker in ended:
            self._workers.remove(worker)
            self.starting()
        return len(ended)

    def under_load(self) -> None:
        """Every reader has a request that is followed, and lists come without a pause from here on."""
        self.load.ask()
        self.load.start()
        self.read(1)

    def read(self, seconds: float) -> None:
        """Read what the workers send, for so long."""
        self.live.outputs.until(lambda: False, seconds)

    def reset_offsets(self) -> None:
        """Have the group begin again; it must have no member."""
        settings = self.live.settings
        consumer = KafkaConsumer(**kafka_python_connection(settings), group_id=settings.group, enable_auto_commit=False)
        try:
            places = [
                TopicPartition(settings.topic(topic), partition)
                for topic in ("requests", "candidates", "items")
                for partition in range(settings.partitions)
            ]
            consumer.commit({place: OffsetAndMetadata(0, "", -1) for place in places})
        finally:
            consumer.close()

    def close(self) -> None:
        self.load.abandon()
        for worker in self._workers:
            worker.kill()
        with suppress(KafkaTimeoutError):  # what cannot be sent any more is of a test that has failed
            self.live.close()
