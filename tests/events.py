"""Events of every kind, bad and odd, with what has to become of each."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from ranker.events import Ranking
from tests.live import ITEMS, SCORES, candidates, new_id, request

CANARY = "canary"
"""Stands in every bad event for what a reader wrote; it must never be seen outside of the event."""


class Bad(NamedTuple):
    """An event that has to become a dead letter, of this class, whose message holds `says`."""

    name: str
    topic: str
    value: bytes | None
    reason: str
    says: str
    key: bytes | None = b"u"
    kept: bool = True
    """Whether the dead letter holds all of it."""


class Odd(NamedTuple):
    """A legal list, and what has to be true of its ranking."""

    name: str
    event: dict[str, Any]
    holds: Callable[[Ranking], bool]


def bad_events() -> list[Bad]:
    whole = json.dumps(candidates(CANARY)).encode()
    wish = json.dumps(request("r", CANARY)).encode()
    item = json.dumps({"item_id": CANARY, "text": CANARY}).encode()
    deep = b"[" * 100_000 + b"]" * 100_000
    lists = {
        "cut off": (whole[:-40], "malformed", "truncated"),
        "no JSON": (f"please {CANARY}".encode(), "malformed", "invalid character"),
        "empty": (b"", "malformed", "truncated"),
        "no value": (None, "malformed", "the record has no value"),
        "not UTF-8": (whole.replace(CANARY.encode(), b"\xff\xfe"), "malformed", "utf-8"),
        "lone surrogate": (whole.replace(CANARY.encode(), rb"\ud800"), "malformed", "surrogate"),
        "NaN": (_list(base_scores=["?", *SCORES[1:]]).replace(b'"?"', b"NaN"), "malformed", "invalid character"),
        "nested deeply": (whole[:-1] + b', "new": ' + deep + b"}", "malformed", "nested too deeply"),
        "wrong type": (_list(user_id=5), "schema", "Expected `str`, got `int` - at `$.user_id`"),
        "score of a wrong type": (_list(base_scores=[CANARY, *SCORES[1:]]), "schema", "at `$.base_scores[0]`"),
        "a list": (json.dumps([CANARY]).encode(), "schema", "Expected `object`, got `array`"),
        "no user": (whole.replace(b"user_id", b"user"), "schema", "missing required field `user_id`"),
        "infinite": (whole.replace(b"1.0,", b"1e999,", 1), "schema", "out of range - at `$.base_scores[0]`"),
        "no items": (_list(item_ids=[], base_scores=[]), "schema", "length >= 1 - at `$.item_ids`"),
        "repeated items": (_list(item_ids=[*ITEMS[1:], ITEMS[5]]), "schema", "item_ids holds 1 repeated ids"),
        "repeated unknown items": (_list(item_ids=[*ITEMS[2:], CANARY, CANARY]), "schema", "1 repeated ids"),
        "fewer scores": (_list(base_scores=SCORES[1:]), "schema", "50 item_ids but 49 base_scores"),
        "weight of 2": (_list(weight=2), "schema", "<= 1.0 - at `$.weight`"),
        "top 0": (_list(top_k=0), "schema", ">= 1 - at `$.top_k`"),
        "blank one-shot": (_list(request=" \n"), "schema", "text is blank"),
        "long one-shot": (_list(request=CANARY * 400), "schema", "length <= 2000 - at `$.request`"),
        "too many items": (_list(item_ids=["i"] * 10_001), "schema", "length <= 10000 - at `$.item_ids`"),
    }
    megabyte = _list(request=CANARY + "x" * 1_000_000)
    return [
        *(Bad(name, "candidates", value, reason, says) for name, (value, reason, says) in lists.items()),
        Bad("1 MB of text", "candidates", megabyte, "too_large", "at most 900000 are read", kept=False),
        Bad("1 MB of key", "candidates", whole, "too_large", "at most 900000", key=b"k" * 1_000_000, kept=False),
        Bad("unheard-of op", "requests", wish.replace(b'"set"', b'"%s"' % CANARY.encode()), "schema", "at `$.op`"),
        Bad("set without text", "requests", wish.replace(b'"text"', b'"words"'), "schema", "there is no text"),
        Bad("blank request", "requests", wish.replace(CANARY.encode(), b"  "), "schema", "text is blank"),
        Bad("request cut off", "requests", wish[:-3], "malformed", "truncated"),
        Bad("request without value", "requests", None, "malformed", "the record has no value"),
        Bad("item without text", "items", item.replace(b'"text"', b'"words"'), "schema", "required field `text`"),
        Bad("blank item", "items", json.dumps({"item_id": CANARY, "text": " "}).encode(), "schema", "text is blank"),
        Bad("no item at all", "items", None, "malformed", "the record has no value", key=b""),
        Bad("deletion of what is not UTF-8", "items", None, "malformed", "utf-8", key=b"\xff\xfe"),
    ]


def odd_lists() -> list[Odd]:
    strange = [f"never heard of {number}" for number in range(50)]
    half = [*ITEMS[:25], *strange[25:]]
    user = "reader nobody knows"

    def base(ranking: Ranking) -> bool:
        return ranking.item_ids == ITEMS

    def odd(name: str, holds: Callable[[Ranking], bool], **fields: Any) -> Odd:
        return Odd(name, candidates(user, **fields), holds)

    return [
        odd("unknown user", lambda r: base(r) and r.degraded == "no_control"),
        odd("some unknown items", lambda r: (r.degraded, r.unknown_items) == ("unknown_items", 25),
            item_ids=half, request="ghosts"),
        odd("only unknown items", lambda r: r.item_ids == strange and r.unknown_items == 50,
            item_ids=strange, request="ghosts"),
        odd("unknown fields", base, colour="green", nested={"deep": [1, {"deeper": None}]}),
        odd("one-shot", lambda r: r.request_id == r.event_id and not base(r), request="songs of war"),
        odd("one-shot with context", lambda r: r.request_id == r.event_id, request="songs", context="comedy"),
        odd("weight 0", lambda r: base(r) and r.weight == 0, request="ghosts", weight=0),
        odd("weight 1", lambda r: not base(r) and r.weight == 1, request="ghosts", weight=1),
        odd("top 3", lambda r: r.item_ids == ITEMS[:3], top_k=3),
        odd("top of more than there are", base, top_k=1000),
        odd("explained", lambda r: r.explain is not None and r.explain.control_ranks is not None,
            explain=True, request="ghosts"),
        odd("explained without control", lambda r: r.explain is not None and r.explain.control_ranks is None,
            explain=True),
        odd("equal scores", base, base_scores=[0.5] * 50),
        odd("scores whose sum is infinite", base, base_scores=[1e308 - n * 1e306 for n in range(50)]),
        odd("one item", lambda r: r.item_ids == ["i7"], item_ids=["i7"], base_scores=[-3], request="ghosts"),
        odd("from the future", base, created_at=4e9),
        odd("from before all time", base, created_at=-1e300),
        odd("control characters", lambda r: r.request_id is not None, request="\x00\u202eghosts\x1b[31m __faust"),
    ]  # fmt: skip


def _list(**fields: Any) -> bytes:
    return json.dumps(candidates(CANARY, event_id=new_id(), **fields)).encode()
