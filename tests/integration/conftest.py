"""One live worker for each broker, shared by all tests that do not end it for good."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.live import Live


@pytest.fixture(scope="session", params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Live]":
    """A worker that serves the small bundle."""
    # Not above: kafka-python warns when it is imported, and only tests may ignore that.
    from tests.live import Live, live_settings
    from tests.unit.tiny_towers import bundle_folder

    settings = live_settings(request.getfixturevalue(request.param), bundle_folder())
    with Live(settings, tmp_path_factory.mktemp("live")) as live:
        yield live
