"""Ends a process that has stopped working, as Faust's own detectors only log it.

What it had not acknowledged comes again, to another worker or to the one that a supervisor starts in its place.
"""

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

log = logging.getLogger(__name__)

EXIT_FAILURE = 70
INTERVAL = 0.25


class Limit(NamedTuple):
    """How long something may go on."""

    what: str
    seconds: Callable[[], float]
    """For how long it has; called from another thread."""
    most: float


def watch(limits: Sequence[Limit]) -> None:
    """Watch from a thread of its own for as long as the process lives. Past any limit the process ends at once."""
    threading.Thread(target=_watch, args=(limits,), name="watchdog", daemon=True).start()


def exceeded(limits: Sequence[Limit]) -> str | None:
    """What is past its limit, in words."""
    for limit in limits:
        if (seconds := limit.seconds()) > limit.most:
            return f"{limit.what} for {seconds:.1f} s, and at most {limit.most:g} s are allowed"
    return None


def _watch(limits: Sequence[Limit]) -> None:
    last = why = None
    # Twice in a row: a process that was itself stopped for a while finds all clocks far ahead when it goes on.
    while not (last and why):
        time.sleep(INTERVAL)
        last, why = why, exceeded(limits)
    log.critical("%s; the worker ends, and what it had not acknowledged comes again", why)
    faulthandler.dump_traceback()  # where each thread is, for whoever asks why
    os._exit(EXIT_FAILURE)
