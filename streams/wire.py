"""JSON on the wire: one encoder, one decoder per kind of event, built once."""

import re
from functools import partial
from typing import TypeVar

import msgspec

from ranker.errors import BadEvent
from ranker.events import CandidateList, Control, ControlRequest, ItemUpsert, ItemVector, Ranking

Event = TypeVar("Event")

_QUOTED = re.compile(r"^(Invalid enum value) '.*'", re.DOTALL)
"""The one message of msgspec's that quotes what was sent, which may be a reader's text."""

encode = msgspec.json.Encoder().encode


def _decode(decoder: msgspec.json.Decoder[Event], raw: bytes | None) -> Event:
    """Raises BadEvent: `malformed` for what is not JSON, `schema` for what is not this event."""
    if raw is None:
        raise BadEvent("malformed", "the record has no value")
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise BadEvent("schema", _QUOTED.sub(r"\1", str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadEvent("malformed", str(error)) from error
    except RecursionError as error:
        raise BadEvent("malformed", "nested too deeply") from error


def decode_key(key: bytes) -> str:
    """An item's id. Raises BadEvent(malformed)."""
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise BadEvent("malformed", f"key: {error}") from error


decode_request = partial(_decode, msgspec.json.Decoder(ControlRequest))
decode_candidates = partial(_decode, msgspec.json.Decoder(CandidateList))
decode_item = partial(_decode, msgspec.json.Decoder(ItemUpsert))
decode_control = partial(_decode, msgspec.json.Decoder(Control))
decode_item_vector = partial(_decode, msgspec.json.Decoder(ItemVector))
decode_ranking = partial(_decode, msgspec.json.Decoder(Ranking))
