"""Writes the published schemas: AsyncAPI 3 and one JSON Schema an event, made from the structs.

`python -m streams.schemas`, in the repository: the examples are its golden messages.
"""

import ast
import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

import ranker.events
from ranker import __version__
from ranker.errors import BadEvent, ConfigError, CtrlrecError
from ranker.events import CandidateList, ControlRequest, ItemUpsert, Ranking
from streams.deadletters import KEPT_BYTES, PREFIX, REDRIVEN
from streams.settings import Settings
from streams.topics import TOPICS

Json = dict[str, Any]
Examples = Mapping[str, Mapping[str, Any]]
"""Kind of message, as the golden files name it → name of the example → what it is."""

OUT, GOLDEN = Path("docs/schemas"), Path("tests/golden")
DIALECT = "https://json-schema.org/draft/2020-12/schema"
EVENTS = {
    "control_request": ControlRequest,
    "candidate_list": CandidateList,
    "item_upsert": ItemUpsert,
    "ranking": Ranking,
}
RULES: dict[str, Json] = {
    "ControlRequest": {
        "if": {"properties": {"op": {"const": "set"}}},
        "then": {"required": ["text"], "properties": {"text": {"type": "string", "pattern": r"\S"}}},
    },
    "CandidateList": {
        "$comment": "base_scores has as many elements as item_ids, and item_ids none twice; what is not so is refused."
    },
}
"""What holds beyond the types, in a schema's words as far as it has them; the workers check it."""
CHANNELS: tuple[tuple[str, str, dict[str, str], str, str], ...] = (
    ("requests", "receive", {"ControlRequest": "control_request"}, "embed_requests",
     "Readers' wishes in plain words. Same partitioner as the candidate lists."),
    ("candidates", "receive", {"CandidateList": "candidate_list"}, "rank_feed",
     "What the platform would show: each list gets one ranking or one dead letter."),
    ("items", "receive", {"ItemUpsert": "item_upsert", "ItemDeletion": ""}, "index_items",
     "New and changed items, rankable within seconds."),
    ("rankings", "send", {"Ranking": "ranking"}, "publish_rankings",
     "The answers. At least once: drop repeats by event_id."),
    ("dead-letters", "send", {"DeadLetter": "dead_letter"}, "publish_dead_letters",
     "What could not be processed, as it came."),
)  # fmt: skip
"""Topic, what ctrlrec does with it, its messages and their golden files, the operation's name, and what it is for."""
KEYS = {
    "requests": "The user_id.",
    "candidates": "The user_id.",
    "items": "The item_id.",
    "rankings": "The candidate list's, as it came.",
    "dead-letters": "The original's, as it came.",
}
SAID: dict[str, tuple[str, Json]] = {
    "topic": ("Topic of the original.", {}),
    "partition": ("Its partition.", {"pattern": "^[0-9]+$"}),
    "offset": ("Its offset.", {"pattern": "^[0-9]+$"}),
    "timestamp": ("Its time, in milliseconds since the Unix epoch.", {"pattern": "^-?[0-9]+$"}),
    "class": ("Why, as one of a closed set.", {"enum": list(BadEvent.REASONS)}),
    "message": ("Why, in words; never a reader's.", {}),
    "attempt": ("1, and one more for each time that it was sent back.", {"pattern": "^[1-9][0-9]*$"}),
    "app-version": ("Version of the worker.", {}),
    "bundle": ("Bundle that the worker served.", {}),
    "payload-sha256": ("Of the whole original value.", {"pattern": "^[0-9a-f]{64}$"}),
    "cut": ("There only where the original was too large to be kept: what is incomplete.",
            {"pattern": "^(value|key|headers)( (key|headers))*$"}),
}  # fmt: skip
"""The headers of a dead letter, without their prefix."""


def documents(examples: Examples) -> dict[str, Json]:
    """File name → what it holds."""
    files: dict[str, Json] = {"asyncapi.json": asyncapi(examples)}
    for kind, event in EVENTS.items():
        shapes = _shapes([event], "#/$defs/{name}")
        main = shapes.pop(event.__name__)
        own = {"examples": list(examples.get(kind, {}).values())} | ({"$defs": shapes} if shapes else {})
        files[f"{kind}.schema.json"] = {"$schema": DIALECT} | main | own
    files["dead_letter_headers.schema.json"] = {"$schema": DIALECT} | letter_headers()
    return files


def asyncapi(examples: Examples) -> Json:
    """The document; `receive` and `send` are what ctrlrec does, so an application does the opposite."""
    settings = Settings()
    channels, operations, messages = {}, {}, {}
    for topic, action, kinds, operation, summary in CHANNELS:
        configuration: Json = {"cleanup.policy": [TOPICS[topic]["cleanup.policy"]]}
        if "retention.ms" in TOPICS[topic]:
            configuration["retention.ms"] = int(TOPICS[topic]["retention.ms"])
        channels[topic] = {
            "address": settings.topic(topic),
            "summary": summary,
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in kinds},
            "bindings": {"kafka": {"topicConfiguration": configuration, "bindingVersion": "0.5.0"}},
        }
        operations[operation] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{topic}"},
            "messages": [{"$ref": f"#/channels/{topic}/messages/{name}"} for name in kinds],
        }
        for name, kind in kinds.items():
            messages[name] = _message(name, topic, examples.get(kind, {}))
    shapes = _shapes(list(EVENTS.values()), "#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "ctrlrec",
            "version": __version__,
            "description": "Readers steer their feed in plain language. Unknown fields are ignored; a missing or wrong "
            f"one makes a dead letter. Topics begin with CTRLREC_TOPIC_PREFIX, here {settings.topic_prefix!r}.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": shapes | {"DeadLetterHeaders": letter_headers()}},
    }


def _message(name: str, topic: str, examples: Mapping[str, Any]) -> Json:
    key = {"type": "string", "description": KEYS[topic]}
    message: Json = {"name": name, "bindings": {"kafka": {"key": key, "bindingVersion": "0.5.0"}}}
    if name == "ItemDeletion":
        return message | {"summary": "A record with the item's key and no value.", "payload": {"type": "null"}}
    if name == "DeadLetter":
        return message | {
            "summary": f"The original's bytes; of a larger value the first {KEPT_BYTES}.",
            "contentType": "application/octet-stream",
            "headers": {"$ref": "#/components/schemas/DeadLetterHeaders"},
            "payload": {"type": ["string", "null"], "format": "binary"},
            "examples": [
                {"name": name, "headers": dict(letter["headers"]), "payload": letter["value"]}
                for name, letter in examples.items()
            ],
        }
    message["payload"] = {"$ref": f"#/components/schemas/{name}"}
    if topic in ("requests", "candidates", "items"):
        again = {"type": "string", "pattern": "^[0-9]+$", "description": "There only on what was a dead letter and was "
                 "sent back: how often."}  # fmt: skip
        message["headers"] = {"type": "object", "properties": {REDRIVEN: again}}
    return message | {"examples": [{"name": name, "payload": payload} for name, payload in examples.items()]}


def letter_headers() -> Json:
    """The schema of a dead letter's headers, each taken as UTF-8. The sender's own come before them."""
    return {
        "title": "DeadLetterHeaders",
        "type": "object",
        "properties": {
            PREFIX + name: {"type": "string", "description": about} | more for name, (about, more) in SAID.items()
        },
        "required": [PREFIX + name for name in SAID if name != "cut"],
    }


def _shapes(events: list[type], reference: str) -> dict[str, Json]:
    """The schemas of the structs and of those within them, with what their source says of each field."""
    _, shapes = msgspec.json.schema_components(events, ref_template=reference)
    for name, shape in shapes.items():
        for field, about in _said_of_fields(name).items():
            shape["properties"][field]["description"] = about
        shape.update(RULES.get(name, {}))
    whole: dict[str, Json] = _whole(shapes)
    return whole


def _whole(node: Any) -> Any:
    """0 for 0.0. Python takes an annotation with one for an annotation with the other: what was imported first decides."""
    if isinstance(node, dict):
        return {name: _whole(part) for name, part in node.items()}
    if isinstance(node, list):
        return [_whole(part) for part in node]
    return int(node) if isinstance(node, float) and node.is_integer() else node


def _said_of_fields(name: str) -> dict[str, str]:
    """The strings that stand below the fields."""
    found = {}
    (struct,) = (node for node in ast.walk(ast.parse(inspect.getsource(ranker.events)))
                 if isinstance(node, ast.ClassDef) and node.name == name)  # fmt: skip
    for field, below in zip(struct.body, struct.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            found[field.target.id] = " ".join(ast.literal_eval(below.value).split())
    return found


def golden(folder: Path) -> dict[str, dict[str, Any]]:
    """The examples: of each kind, those of the latest version that has some. Raises ConfigError if there are none."""
    found: dict[str, dict[str, Any]] = {}
    for version in sorted(folder.glob("*/"), key=lambda path: [int(n) for n in path.name.split(".")]):
        kinds: dict[str, dict[str, Any]] = {}
        for path in sorted(version.glob("*.json")):
            kind, _, which = path.stem.partition(".")
            kinds.setdefault(kind, {})[which or "whole"] = json.loads(path.read_bytes())
        found |= kinds
    if not found:
        raise ConfigError(f"no golden messages in {folder}: run this in ctrlrec's repository")
    return found


def main() -> None:
    """Write all files anew."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, document in documents(golden(GOLDEN)).items():
        (OUT / name).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    try:
        main()
    except CtrlrecError as error:
        print(f"ctrlrec: {error}", file=sys.stderr)
        sys.exit(2)
