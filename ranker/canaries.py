"""Golden requests over catalogue items, whose order the rule judge decided when the bundle was made.

A tower cannot see that it has gone wrong: its own alignments look as good as ever. The judge's figures can tell.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

import numpy as np
from msgspec import Meta, Struct

from ranker.events import CandidateList
from ranker.rank import Model, rank
from ranker.run import Steering
from ranker.vectors import Quantized

Kind: TypeAlias = Literal["wish", "paraphrase", "refusal"]
TOP = 10


class Canary(Struct, frozen=True):
    """A request, some items in no particular order, and how relevant the judge finds each, 0..1."""

    kind: Kind
    """`paraphrase` has another canary's meaning in other words, `refusal` its opposite."""
    text: str
    item_ids: Annotated[list[str], Meta(min_length=2)]
    relevance: list[float]


class CanarySet(Struct, frozen=True):
    """Part of a bundle's calibration."""

    canaries: list[Canary]
    baseline: dict[str, float]
    """Mean nDCG of each kind when the bundle was made."""


def measure(canary: Canary, vector: Quantized, model: Model) -> float:
    """nDCG@10 of the items in the order of the request alone, as `rank` gives it for the request's `vector`."""
    asked = CandidateList(
        event_id="canary", user_id="canary", created_at=0.0, weight=1.0,
        item_ids=canary.item_ids, base_scores=[0.0] * len(canary.item_ids),
    )  # fmt: skip
    steering = Steering("canary", model.bundle, vector.floats(), vector.scale, None, None)
    relevance = dict(zip(canary.item_ids, canary.relevance, strict=True))
    return ndcg([relevance[item_id] for item_id in rank(asked, steering, model).item_ids])


def ndcg(relevance: Sequence[float]) -> float:
    """Σ rel_j / log2(j + 1) over the first 10 places, over that of the best order; 1 where nothing is relevant."""
    best = _dcg(sorted(relevance, reverse=True))
    return _dcg(relevance) / best if best > 0 else 1.0


def means(canaries: Sequence[Canary], figures: Sequence[float]) -> Mapping[str, float]:
    """The mean figure of each kind that occurs."""
    by_kind: dict[str, list[float]] = {}
    for canary, figure in zip(canaries, figures, strict=True):
        by_kind.setdefault(canary.kind, []).append(figure)
    return {kind: float(np.mean(values)) for kind, values in by_kind.items()}


def _dcg(relevance: Sequence[float]) -> float:
    top = np.array(relevance[:TOP], np.float64)
    return float((top / np.log2(np.arange(len(top)) + 2)).sum())
