"""Requests with their meaning as lines of JSON: what a language model wrote, to be judged and trained with."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import msgspec

from ranker.errors import DataError
from ranker.requests.grammar import Request
from ranker.requests.spec import Category, Fact, Spec

FACTS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Fact)}


class Line(msgspec.Struct, frozen=True):
    """One line. A fact is one object of one key: its kind, and what the kind has: {"Era": {"first": 1980, "last": 1989}}."""

    category: Category
    text: str
    wanted: tuple[dict[str, Any], ...] = ()
    refused: tuple[dict[str, Any], ...] = ()
    any_of: bool = False


def write_requests(path: Path, requests: Iterable[Request]) -> int:
    """Write them, the same text once; how many there were."""
    distinct = {request.text: request for request in requests}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        file.writelines(msgspec.json.encode(_line(request)) + b"\n" for request in distinct.values())
    partial.replace(path)
    return len(distinct)


def read_requests(path: Path) -> list[Request]:
    """Raises DataError naming the line that is not as `write_requests` writes it."""
    found: list[Request] = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    for number, content in enumerate(lines, start=1):
        try:
            line = msgspec.json.decode(content, type=Line)
            spec = Spec(_facts(line.wanted), _facts(line.refused), line.any_of)
        except (msgspec.MsgspecError, ValueError) as error:
            raise DataError(f"{path}: line {number}: {error}") from error
        found.append(Request(line.category, line.text, spec))
    if not found:
        raise DataError(f"{path}: holds no requests; `ctrlrec write-requests` writes some")
    return found


def _line(request: Request) -> Line:
    wanted, refused = (
        tuple({type(fact).__name__: msgspec.to_builtins(fact)} for fact in facts)
        for facts in (request.spec.wanted, request.spec.refused)
    )
    return Line(request.category, request.text, wanted, refused, request.spec.any_of)


def _facts(lines: tuple[dict[str, Any], ...]) -> tuple[Fact, ...]:
    facts: list[Fact] = []
    for line in lines:
        if len(line) != 1 or not line.keys() <= FACTS.keys():
            raise ValueError(f"{line} is no fact; a fact has one key of {', '.join(FACTS)}")
        ((kind, content),) = line.items()
        facts.append(msgspec.convert(content, FACTS[kind]))
    return tuple(facts)
