"""What several test modules need: small bundles without models, and live brokers."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis

from streams.broker import EmbeddedBroker
from streams.settings import Settings
from tests import once
from tests.kafkaserver import KafkaServer
from tests.oracle import REPORT

# Examples have no time limit of their own: the process may be waiting for others, and a test has its timeout.
hypothesis.register_profile("ctrlrec", deadline=None)
hypothesis.load_profile("ctrlrec")


def pytest_configure(config: pytest.Config) -> None:
    """Warnings are errors, except what kafka-python does of its own on import."""
    config.addinivalue_line("filterwarnings", "ignore:(read_text|contents|open_text) is deprecated:DeprecationWarning")
    if told := _told(config):
        once.share(Path(told["folder"]))
    elif config.getoption("numprocesses", None):
        from tests.beside import Beside

        config.pluginmanager.register(Beside(config))


def _told(config: pytest.Config) -> dict[str, str]:
    """Where several processes run the tests, what this one was told of what they share; else nothing."""
    told: dict[str, str] = getattr(config, "workerinput", {})
    return told


@pytest.hookimpl(trylast=True)  # after pytest's own order, which keeps tests of one parameter together
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes run the tests, the order in which they are given out."""
    if _told(config):
        from tests.beside import mixed, share_of

        shares = [share_of(item.nodeid) for item in items]
        order = {share: number for number, share in enumerate(mixed(list(dict.fromkeys(shares))))}
        items.sort(key=lambda item: order[share_of(item.nodeid)])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where several processes run the tests, hand on what this one has to report."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["report"] = REPORT


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take it from one of them."""
    REPORT.extend(getattr(node, "workeroutput", {}).get("report", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What fault tests have to say: what became of every input, and which alerts fired."""
    if REPORT:
        terminalreporter.section("faults")
        for line in REPORT:
            terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the settings of whoever runs it."""
    for variable in [name for name in os.environ if name.startswith("CTRLREC_")]:
        monkeypatch.delenv(variable)


@pytest.fixture(scope="session")
def embedded(pytestconfig: pytest.Config) -> Iterator[str]:
    """Bootstrap address of the embedded broker."""
    if told := _told(pytestconfig):
        yield told["embedded"]
        return
    with EmbeddedBroker() as broker:
        yield broker.bootstrap


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap address of one node of Apache Kafka, where KAFKA_HOME names one."""
    home = os.environ.get("KAFKA_HOME")
    if not home:
        pytest.skip("KAFKA_HOME is not set: not run on Apache Kafka")
    if told := _told(pytestconfig):
        yield told["kafka"]
        return
    with KafkaServer(Path(home), tmp_path_factory.mktemp("kafka")) as server:
        yield server.bootstrap


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def bootstrap(request: pytest.FixtureRequest) -> str:
    """A live broker: what takes this runs once on the embedded one and once on Apache Kafka."""
    address: str = request.getfixturevalue(request.param)
    return address


@pytest.fixture
def settings(bootstrap: str) -> Settings:
    """Of the live broker, with topics and a group that no other test has. The topics are not made yet."""
    name = f"t{uuid.uuid4().hex[:12]}"
    return Settings(kafka_bootstrap=bootstrap, topic_prefix=f"{name}.", group=name, partitions=2, monitoring_port=0)
