"""The published schemas say what the code does, and are what the code would publish now."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ranker.errors import BadEvent, ConfigError
from streams import wire
from streams.deadletters import dead_letter
from streams.schemas import EVENTS, KEYS, OUT, documents, golden
from streams.topics import TOPICS

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = golden(ROOT / "tests/golden")
FILES = documents(EXAMPLES)
DOCUMENT = FILES["asyncapi.json"]
PUBLIC = [(kind, name) for kind in EVENTS for name in EXAMPLES[kind]]


def checker(schema: Any) -> Any:
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    kind.check_schema(schema)
    return kind(schema)


def resolved(reference: str) -> Any:
    at: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        at = at[part]
    return at


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        return {node["$ref"]} | set() if "$ref" in node else set().union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


def test_the_files_are_what_the_code_says() -> None:
    committed = {path.name: path.read_text() for path in (ROOT / OUT).iterdir()}
    now = {name: json.dumps(file, indent=2, ensure_ascii=False) + "\n" for name, file in FILES.items()}
    assert committed == now, "run `make schemas` and look at what changed: others rely on it"


def test_the_document_hangs_together() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert all(resolved(reference) for reference in references(DOCUMENT))
    assert DOCUMENT["channels"].keys() == KEYS.keys() == TOPICS.keys() - {"controls", "vectors", "redriven"}
    actions = {
        operation["channel"]["$ref"].removeprefix("#/channels/"): operation["action"]
        for operation in DOCUMENT["operations"].values()
    }
    assert actions == {
        "requests": "receive", "candidates": "receive", "items": "receive", "rankings": "send", "dead-letters": "send",
    }  # fmt: skip
    for operation in DOCUMENT["operations"].values():
        there = resolved(operation["channel"]["$ref"])["messages"]
        assert {one["$ref"].rpartition("/")[2] for one in operation["messages"]} == there.keys()


@pytest.mark.parametrize(("kind", "name"), PUBLIC)
def test_examples_are_valid_and_their_fields_are_checked(kind: str, name: str) -> None:
    example, check = EXAMPLES[kind][name], checker(FILES[f"{kind}.schema.json"])
    check.validate(example)
    assert example in FILES[f"{kind}.schema.json"]["examples"]
    check.validate(example | {"colour": "unknown fields are ignored"})
    for field in FILES[f"{kind}.schema.json"]["required"]:
        assert not check.is_valid({key: value for key, value in example.items() if key != field})
    for field in example:
        assert not check.is_valid(example | {field: {"of": "another type"}}), field


def test_every_example_of_the_document_is_valid() -> None:
    for message in DOCUMENT["components"]["messages"].values():
        schemas = copy.deepcopy({"components": DOCUMENT["components"]})
        for example in message.get("examples", []):
            for part in example.keys() - {"name"}:
                checker(schemas | message[part]).validate(example[part])
    assert sum(len(message.get("examples", [])) for message in DOCUMENT["components"]["messages"].values()) == (
        len(PUBLIC) + len(EXAMPLES["dead_letter"])
    )


DECODERS: dict[str, Callable[[bytes], Any]] = {
    "control_request": wire.decode_request,
    "candidate_list": wire.decode_candidates,
    "item_upsert": wire.decode_item,
}
REQUEST = {"event_id": "e", "user_id": "u", "op": "set", "created_at": 1, "text": "x"}
LIST = {"event_id": "e", "user_id": "u", "item_ids": ["a", "b"], "base_scores": [1, 0.5], "created_at": 1}


@pytest.mark.parametrize(
    ("kind", "event", "valid"),
    [
        ("control_request", REQUEST, True),
        ("control_request", REQUEST | {"op": "clear", "text": None}, True),
        ("control_request", REQUEST | {"op": "forget"}, False),
        ("control_request", REQUEST | {"text": "x" * 2001}, False),
        ("control_request", REQUEST | {"weight": 1.01}, False),
        ("candidate_list", LIST, True),
        ("candidate_list", LIST | {"item_ids": [], "base_scores": []}, False),
        ("candidate_list", LIST | {"item_ids": ["a", ""]}, False),
        ("candidate_list", LIST | {"item_ids": ["a"] * 10_001}, False),
        ("candidate_list", LIST | {"base_scores": [1, None]}, False),
        ("candidate_list", LIST | {"top_k": 0}, False),
        ("candidate_list", LIST | {"top_k": 1.5}, False),
        ("candidate_list", LIST | {"user_id": "u" * 129}, False),
        ("item_upsert", {"item_id": "i", "text": "x"}, True),
        ("item_upsert", {"item_id": "i", "text": ""}, False),
    ],
)
def test_the_schemas_and_the_decoders_agree(kind: str, event: dict[str, Any], valid: bool) -> None:
    assert checker(FILES[f"{kind}.schema.json"]).is_valid(event) is valid
    try:
        DECODERS[kind](json.dumps(event).encode())
    except BadEvent:
        assert not valid
    else:
        assert valid


def test_set_needs_a_text() -> None:
    check = checker(FILES["control_request.schema.json"])
    assert not check.is_valid({key: value for key, value in REQUEST.items() if key != "text"})
    assert not check.is_valid(REQUEST | {"text": None})
    assert not check.is_valid(REQUEST | {"text": " \n"})


def test_the_headers_of_a_dead_letter_are_these() -> None:
    schema = FILES["dead_letter_headers.schema.json"]
    for value in (b"v", b"v" * 1_000_000):
        record: Any = type("R", (), {"topic": "t", "partition": 0, "offset": 1, "timestamp": 2, "headers": ()})()
        record.key, record.value = b"k", value
        headers = {
            name: text.decode() for name, text in dead_letter("d", record, BadEvent("bug", "KeyError"), "b").headers
        }
        checker(schema).validate(headers)
        assert headers.keys() <= schema["properties"].keys()
        assert headers.keys() >= set(schema["required"])
        assert not checker(schema).is_valid(headers | {"ctrlrec.error.class": "mood"})


def test_without_golden_messages_it_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no golden messages in .*: run this in ctrlrec's repository"):
        golden(tmp_path)
