"""Tracebacks that do not quote what readers wrote."""

import logging
import traceback
from collections.abc import Iterator
from types import TracebackType

from aiokafka.errors import KafkaError

from ranker.errors import CtrlrecError

SAYS = CtrlrecError, KafkaError, OSError
"""Whose messages are about us, the broker or the machine. Any other may hold a value: a KeyError's message is the key."""

ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class Discreet(logging.Formatter):
    """Says of an exception where it came from and of what type it is; what it says itself only where that is safe."""

    def format(self, record: logging.LogRecord) -> str:
        """Also where an exception is among what is formatted, as Faust logs why it crashed."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(_without_words, record.args))
        return super().format(record)

    def formatException(self, ei: ErrorInfo) -> str:  # noqa: N802  logging's name
        return "\n".join(_lines(ei[1])) if ei[1] else ""


def _without_words(argument: object) -> object:
    return type(argument) if isinstance(argument, BaseException) and not isinstance(argument, SAYS) else argument


def _lines(error: BaseException, told: frozenset[int] = frozenset()) -> Iterator[str]:
    told |= {id(error)}  # causes may go round in a circle
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before and id(before) not in told:
        yield from _lines(before, told)
        yield "and then:"
    yield from "".join(traceback.format_tb(error.__traceback__)).splitlines()
    for each in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _lines(each, told)
    yield f"{type(error).__module__}.{type(error).__qualname__}" + (f": {error}" if isinstance(error, SAYS) else "")
