"""Messages as version 0.1.0 wrote and took them, read by the code of today."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from ranker.errors import BadEvent
from streams import wire
from streams.letters import read
from streams.redrive import reason_to_leave
from streams.settings import Settings

GOLDEN = Path(__file__).parent.parent / "golden"
DECODERS: dict[str, Callable[[bytes], Any]] = {
    "control_request": wire.decode_request,
    "candidate_list": wire.decode_candidates,
    "item_upsert": wire.decode_item,
    "control": wire.decode_control,
    "item_vector": wire.decode_item_vector,
    "ranking": wire.decode_ranking,
}
FILES = sorted(GOLDEN.glob("*/*.json"))
EVENTS = [path for path in FILES if not path.name.startswith("dead_letter.")]
LETTERS = [path for path in FILES if path not in EVENTS]


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def decode(path: Path, raw: bytes) -> Any:
    return DECODERS[path.name.partition(".")[0]](raw)


def test_there_is_one_of_each_kind() -> None:
    assert {path.name.partition(".")[0] for path in FILES} == {*DECODERS, "dead_letter"}


@pytest.mark.parametrize("path", EVENTS, ids=name)
def test_events_mean_what_they_meant(path: Path) -> None:
    """A field that was renamed, or whose type changed, would be lost or refused."""
    written = json.loads(path.read_bytes())
    event = decode(path, path.read_bytes())
    assert {field: value for field, value in msgspec.to_builtins(event).items() if field in written} == written
    assert decode(path, wire.encode(event)) == event


@pytest.mark.parametrize("path", [path for path in EVENTS if path.name.startswith("ranking.")], ids=name)
def test_rankings_have_the_same_bytes_as_ever(path: Path) -> None:
    assert wire.encode(decode(path, path.read_bytes())) == path.read_bytes().rstrip()


@pytest.mark.parametrize("path", EVENTS, ids=name)
def test_what_a_later_version_adds_is_ignored(path: Path) -> None:
    written = json.loads(path.read_bytes())
    later = json.dumps(written | {"colour": {"new": [1, None]}}).encode()
    assert decode(path, later) == decode(path, path.read_bytes())


@pytest.mark.parametrize("path", EVENTS, ids=name)
def test_what_is_null_may_be_left_out_unless_it_always_was_there(path: Path) -> None:
    written = json.loads(path.read_bytes())
    event = decode(path, path.read_bytes())
    required = {field.name for field in msgspec.structs.fields(type(event)) if field.required}
    short = {field: value for field, value in written.items() if value is not None or field in required}
    assert decode(path, json.dumps(short).encode()) == event
    for field in required & written.keys():
        with pytest.raises(BadEvent, match=f"missing required field `{field}`"):
            decode(path, json.dumps({key: value for key, value in written.items() if key != field}).encode())


@pytest.mark.parametrize("path", LETTERS, ids=name)
def test_dead_letters_can_be_read_and_sent_back(path: Path) -> None:
    written = json.loads(path.read_bytes())
    record = SimpleNamespace(
        partition=3, offset=0, timestamp=0, key=written["key"].encode(),
        value=written["value"] and written["value"].encode(),
        headers=[(name, value.encode()) for name, value in written["headers"]],
    )  # fmt: skip
    letter = read(Settings(), record)
    assert (letter.topic, letter.source, letter.attempt) == ("candidates", "feed.candidates[3]@9", 1)
    assert letter.reason == dict(written["headers"])["ctrlrec.error.class"]
    assert reason_to_leave(letter, 3, {"candidates": {3}}) == ""
