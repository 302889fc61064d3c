"""The events that go in and come out, as msgspec structs. Unknown fields are ignored, missing or wrong ones refused.

Times are seconds since the Unix epoch, UTC, as floats. Ids are strings of 1 to 128 characters. A base score is better
the higher it is. Lists are columnar: `item_ids[i]` belongs with `base_scores[i]`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

MAX_TEXT = 2_000
MAX_CANDIDATES = 10_000

Id = Annotated[str, Meta(min_length=1, max_length=128)]
Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
Weight = Annotated[float, Meta(ge=0.0, le=1.0)]

Degraded = Literal["no_control", "control_expired", "unknown_items", "other_bundle", "deadline", "rate"]
"""Why a ranking is less than what was asked for."""


class ControlRequest(Struct, frozen=True, kw_only=True):
    """A reader's wish in plain words; it holds for every later candidate list of `user_id` until replaced or cleared."""

    event_id: Id
    user_id: Id
    op: Literal["set", "clear"]
    created_at: float
    text: Text | None = None
    """The request itself; required with `set`."""
    context: Text | None = None
    """A short text of the user's taste, read by the request tower beside the request."""
    weight: Weight | None = None
    """How far the request outweighs the platform's own order: 0 not at all, 1 alone."""
    expires_at: float | None = None


class CandidateList(Struct, frozen=True, kw_only=True, gc=False):
    """What the platform would show one user, with its own scores."""

    event_id: Id
    user_id: Id
    item_ids: Annotated[list[Id], Meta(min_length=1, max_length=MAX_CANDIDATES)]
    base_scores: Annotated[list[float], Meta(min_length=1, max_length=MAX_CANDIDATES)]
    created_at: float
    request: Text | None = None
    """A one-shot request: it steers this list alone, in place of the user's standing one."""
    context: Text | None = None
    weight: Weight | None = None
    top_k: Annotated[int, Meta(ge=1)] | None = None
    """How many items to return; all of them without it."""
    explain: bool = False


class ItemUpsert(Struct, frozen=True, kw_only=True):
    """A new or changed item, as the text that the item tower reads. A record with the item's key and no value deletes."""

    item_id: Id
    text: Text


class Control(Struct, frozen=True, kw_only=True):
    """What became of a ControlRequest: its text beside its vector, so that another bundle can embed it again."""

    request_id: Id
    user_id: Id
    text: str
    bundle: str
    vector: bytes
    """(d,) int16, little-endian: the quantized request vector of `bundle`."""
    scale: float
    created_at: float
    context: str | None = None
    weight: float | None = None
    expires_at: float | None = None
    ood: bool = False
    """Whether the request was unlike those that the bundle was made with."""


class ItemVector(Struct, frozen=True, kw_only=True):
    """What became of an ItemUpsert: its text beside its vector."""

    item_id: Id
    text: str
    bundle: str
    vector: bytes
    scale: float


class Adherence(Struct, frozen=True, gc=False):
    """How well the top of a ranking follows the request (see `ranker.adherence`); alignments are in 0..1."""

    base: float
    fused: float
    best: float
    gain: float | None
    """(fused - base) / (best - base); null where the list leaves no headroom."""
    overlap: float
    """Share of the base top k that is still in the fused top k."""


class Explanation(Struct, frozen=True, gc=False):
    """Ranks from 0, aligned with the ranking's `item_ids`; `control_ranks` is null where no control was in force."""

    base_ranks: list[int]
    control_ranks: list[int] | None


class Ranking(Struct, frozen=True, kw_only=True, gc=False):
    """The answer to one CandidateList. The same list, control and bundle give the same bytes, so it holds no clock."""

    event_id: Id
    """The candidate list's own, so that a consumer can drop a repeat."""
    user_id: Id
    item_ids: list[str]
    created_at: float
    """The candidate list's."""
    bundle: str
    request_id: str | None
    weight: float
    degraded: Degraded | None
    unknown_items: int
    adherence: Adherence | None
    explain: Explanation | None = None
