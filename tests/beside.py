"""Several processes that run the tests: which of them runs what, and what they share."""

import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from streams.broker import EmbeddedBroker
from tests.kafkaserver import KafkaServer

BROKER = re.compile(r"^tests/(?:integration|faults)/.*\[(embedded|kafka)[\]-]")
LONGEST = (
    "tests/faults/test_workers_die", "worker on", "tests/integration/test_redrive", "tests/integration/test_replays",
    "tests/integration/test_processes", "tests/unit/test_train.py", "tests/unit/test_alerts", "tests/unit/test_synthesis",
)  # fmt: skip
"""They begin first, so that none of them is left alone at the end."""


def share_of(test: str) -> str:
    """Tests of one share are run by one process: a file's, or those of a file on one broker. The shared worker of each
    broker serves several files."""
    file, broker = test.partition("::")[0], BROKER.search(test)
    if broker is None:
        return file
    return f"{'worker' if '/test_worker_' in file else file} on {broker[1]}"


def mixed(shares: Sequence[str]) -> list[str]:
    """Those that mostly wait, for brokers and workers, evenly among those that compute."""
    computing = [share for share in shares if share.startswith("tests/unit/")]
    waiting = [share for share in shares if share not in computing]
    places = {
        share: (number + 0.5) / len(some)
        for some in (sorted(waiting, key=_begins), sorted(computing, key=_begins))
        for number, share in enumerate(some)
    }
    return sorted(shares, key=places.__getitem__)


def _begins(share: str) -> int:
    return next((number for number, name in enumerate(LONGEST) if share.startswith(name)), len(LONGEST))


class Scheduling(LoadScopeScheduling):
    """A share at a time to each process."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)


class Shared:
    """A folder and a broker of each kind for all processes, from before the first starts until `close`."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="ctrlrec-tests-"))
        self.told = {"folder": folder, "embedded": self._stack.enter_context(EmbeddedBroker()).bootstrap}
        """For the processes."""
        self._kafka: KafkaServer | None = None
        if home := os.environ.get("KAFKA_HOME"):
            self._kafka = KafkaServer(Path(home), Path(folder, "kafka"))
            self._stack.callback(self._kafka.stop)
            self._kafka.launch()
            self.told["kafka"] = self._kafka.bootstrap

    def wait_ready(self) -> None:
        if self._kafka is not None:
            self._kafka.wait_ready()

    def close(self) -> None:
        self._stack.close()


class Beside:
    """The plugin of the process that starts the others."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._shared: Shared | None = None

    def pytest_configure_node(self, node: Any) -> None:
        if self._shared is None:
            self._shared = Shared()
            self._config.add_cleanup(self._shared.close)
        node.workerinput |= self._shared.told

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Scheduling | None:
        if self._shared is not None:
            self._shared.wait_ready()  # the others collect tests meanwhile
        return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None
