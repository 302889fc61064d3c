"""Brokers and workers that fault tests may harm."""

import gc
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.faults.fleet import Fleet


@pytest.fixture(scope="session")
def sturdy(request: pytest.FixtureRequest) -> str:
    """Apache Kafka where KAFKA_HOME names one, else the embedded broker: a row of the table is run once."""
    address: str = request.getfixturevalue("kafka" if os.environ.get("KAFKA_HOME") else "embedded")
    return address


@pytest.fixture
def fleets(tmp_path: Path) -> Iterator[Callable[..., "Fleet"]]:
    """`fleets(bootstrap, **settings)`: with the small bundle, unless `bundle` names another."""
    # Not above: kafka-python warns when it is imported, and only tests may ignore that.
    from tests.faults.fleet import Fleet
    from tests.unit.tiny_towers import bundle_folder

    made: list[Fleet] = []

    def make(bootstrap: str, bundle: Path | None = None, **changes: Any) -> Fleet:
        made.append(Fleet(bootstrap, bundle or bundle_folder(), tmp_path, **changes))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()
    made.clear()
    _collect()


def pytest_sessionfinish() -> None:
    """What was still held then, by a thread that was yet to end, goes now."""
    _collect()


def _collect() -> None:
    """kafka-python does not close the sockets of connections that failed, and the next test would be blamed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
