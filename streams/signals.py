"""What SIGTERM and Ctrl-C do to a process that has nothing in hand yet."""

import os
import signal
from types import FrameType


def end_at_once_when_told() -> None:
    """From here on, until others handle them, both end the process with 0: it was stopped, and that is what it was told.

    As the first process of a container it would otherwise not hear of SIGTERM at all.
    """
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, _end)


def _end(_sign: int, _frame: FrameType | None) -> None:
    os._exit(0)  # not by an exception: one that is raised in a callback of a library goes no further
