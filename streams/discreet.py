"""Tracebacks that do not quote what readers wrote."""

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from types import TracebackType

from ranker.errors import CtrlrecError

SAYS = CtrlrecError, OSError
BROKERS = "aiokafka.errors"
"""Whose messages are about us, the machine or the broker (a module's, for every command would wait for its import). Any
other may hold a value: a KeyError's message is the key."""

ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class Discreet(logging.Formatter):
    """Says of an exception where it came from and of what type it is; what it says itself only where that is safe."""

    def format(self, record: logging.LogRecord) -> str:
        """Also where an exception is among what is formatted, as Faust logs why it crashed."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(_without_words, record.args))
        if record.name == "asyncio":  # whose further lines show the task, and its exception with what that says
            record.msg = str(record.msg).partition("\n")[0]
        return super().format(record)

    def formatException(self, ei: ErrorInfo) -> str:  # noqa: N802  logging's name
        return "\n".join(_lines(ei[1])) if ei[1] else ""


def guard() -> None:
    """From here on, what nobody catches is told so as well, in any thread, and what is logged before logging is set up."""
    sys.excepthook = lambda _kind, error, _trace: _tell(error)
    threading.excepthook = lambda what: _tell(what.exc_value, f" of {what.thread.name}" if what.thread else "")
    sys.unraisablehook = lambda what: _tell(what.exc_value, " of what is ignored")
    if logging.lastResort:
        logging.lastResort.setFormatter(Discreet())


def _tell(error: BaseException | None, of: str = "") -> None:
    if error and not isinstance(error, SystemExit):  # which ends a thread, and is no mistake
        print(f"Traceback{of}, without what may quote a reader:", *_lines(error), sep="\n", file=sys.stderr)


def _without_words(argument: object) -> object:
    return type(argument) if isinstance(argument, BaseException) and not _may_speak(argument) else argument


def _may_speak(error: BaseException) -> bool:
    return isinstance(error, SAYS) or any(kind.__module__ == BROKERS for kind in type(error).__mro__)


def _lines(error: BaseException, told: frozenset[int] = frozenset()) -> Iterator[str]:
    told |= {id(error)}  # causes may go round in a circle
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before and id(before) not in told:
        yield from _lines(before, told)
        yield "and then:"
    yield from "".join(traceback.format_tb(error.__traceback__)).splitlines()
    for each in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _lines(each, told)
    yield f"{type(error).__module__}.{type(error).__qualname__}" + (f": {error}" if _may_speak(error) else "")
