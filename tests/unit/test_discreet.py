"""What a log says of an exception, and what it keeps to itself."""

import asyncio
import logging
import sys

import pytest

from ranker.errors import BundleError
from streams.discreet import Discreet


def logged(error: BaseException) -> str:
    """As a worker's log has it."""
    try:
        raise error
    except BaseException:  # noqa: BLE001
        record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "met a bug", (), sys.exc_info())
    return Discreet().format(record)


def test_a_traceback_does_not_quote_a_reader() -> None:
    text = "no horror, says canary-7"

    def fails() -> None:
        try:
            dict[str, int]()[text]
        except KeyError:
            (text + "ü").encode("ascii")

    with pytest.raises(UnicodeEncodeError) as caught:
        fails()
    said = logged(caught.value)
    assert "canary-7" not in said
    assert said.index("builtins.KeyError") < said.index("and then:") < said.index("builtins.UnicodeEncodeError")
    assert "in fails\n    dict[str, int]()[text]" in said


def test_asyncio_does_not_quote_a_task() -> None:
    """Its own handler shows the task that failed, with its exception, as part of the message."""
    message = "Task exception was never retrieved\nfuture: <Task finished exception=KeyError('canary-7')>"
    record = logging.LogRecord("asyncio", logging.ERROR, "x.py", 1, message, (), None)
    assert Discreet().format(record) == "Task exception was never retrieved"


def test_what_went_wrong_within_tasks_is_said_too() -> None:
    text = "canary-7"

    async def fails() -> None:
        raise ValueError(text)

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fails())

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(group())
    said = logged(caught.value)
    assert "in fails" in said
    assert "ValueError" in said
    assert text not in said


@pytest.mark.parametrize("error", [BundleError("b: no manifest"), ConnectionRefusedError("no route")])
def test_what_is_about_us_or_the_machine_is_told(error: Exception) -> None:
    assert logged(error).endswith(f"{type(error).__qualname__}: {error}")


def test_causes_that_go_round_in_a_circle_are_told_once() -> None:
    first, second = ValueError("canary-7"), KeyError("canary-7")
    first.__cause__, second.__cause__ = second, first
    assert logged(first).count("ValueError") == 1


@pytest.mark.parametrize(
    ("error", "said"), [(KeyError("canary-7"), "<class 'KeyError'>"), (OSError("no route"), "no route")]
)
def test_an_exception_in_a_message_is_no_quotation(error: Exception, said: str) -> None:
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "%s: crashed, reason=%r", ("faust", error), None)
    text = Discreet().format(record)
    assert said in text
    assert "canary" not in text


def test_without_an_exception_nothing_is_added() -> None:
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "met a bug", (), (None, None, None))
    assert Discreet().format(record).strip() == "met a bug"
