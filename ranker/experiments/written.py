"""Requests that somebody else, an LLM for instance, wrote for the targets of the reachability experiment."""

from pathlib import Path

import msgspec

from ranker.errors import DataError


class Written(msgspec.Struct, frozen=True):
    """A line of a file of requests: what somebody wrote to reach a target, the first try first."""

    target: str
    text: str


def read_written(path: Path) -> dict[str, list[str]]:
    """Target's name to requests. Raises DataError naming the line that is not as documented."""
    found: dict[str, list[str]] = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            request = msgspec.json.decode(line, type=Written)
        except msgspec.MsgspecError as error:
            raise DataError(
                f'{path}, line {number}: {error}; expected {{"target": "user 42", "text": "..."}}'
            ) from error
        if not request.text.strip():
            raise DataError(f"{path}, line {number}: the text is blank")
        found.setdefault(request.target, []).append(request.text)
    if not found:
        raise DataError(f"{path}: no requests in it")
    return found
