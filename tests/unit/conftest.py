"""Small bundles, as a test's own and as those that replays load; and what a test of crashes must not leave behind."""

import logging
import sys
import threading

import pytest

from tests.smallbundle import SmallBundle

SALTS = {"small": "", "other": "pepper"}


@pytest.fixture
def bundle() -> SmallBundle:
    return SmallBundle()


@pytest.fixture
def small_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay's bundles are small ones, whatever their folder's name is."""

    def small(version: str) -> SmallBundle:
        return SmallBundle(version=version, salt=SALTS[version])

    monkeypatch.setattr("streams.replay.job.Bundle.load", lambda folder, **_: small(folder.name))
    monkeypatch.setattr("streams.replay.job.Store.load", lambda _, version, **__: small(version))
    for module in ("job", "plan"):
        monkeypatch.setattr(f"streams.replay.{module}.version_of", lambda folder: folder.name)


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's own come back after the test."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(logging.lastResort, "formatter", None)
