"""A log that says the same thing seldom."""

import logging
import time
from collections.abc import Callable


class Seldom(logging.Filter):
    """For handlers. Lets each message of one library through once in `seconds`, whatever it names: a client that cannot
    reach its broker says so thirty times a second."""

    def __init__(self, library: str, seconds: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._library = library
        self._seconds, self._clock = seconds, clock
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it has not been said of late."""
        if not record.name.startswith(self._library):
            return True
        now, key = self._clock(), (record.name, str(record.msg))
        if now - self._said.get(key, -self._seconds) < self._seconds:
            return False
        if len(self._said) > 1_000:  # messages that were put together before they were logged
            self._said.clear()
        self._said[key] = now
        return True
