"""The variants of a replay: what weight, which fusion, which bundle; and ranking a batch under all of them at once.

What variants share is done once: decoding and base order for all of them; vectors, scores and the control's own order for
those of one bundle. Only fusing, and what is said of the outcome, is done for each.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranker.events import Ranking
from ranker.fusion import Method
from ranker.ragged import Order
from ranker.rank import Fused, Ready, fuse, make_ready
from ranker.run import Asked, Flat
from streams.replay.state import Serving


class Variant(NamedTuple):
    """`weight`, if given, stands in for every weight that a list or a request names; `bundle` is one's place."""

    name: str
    weight: float | None
    fusion: Method
    bundle: int = 0


class Ranked(NamedTuple):
    """What became of a batch under one variant, as far as figures need it."""

    order: Order
    """(size,), as `Fused.order`."""
    weights: list[float]
    steered: NDArray[np.bool_]
    """(lists,)."""
    alignments: NDArray[np.float64]
    """(lists, 3): of the base, the fused and the best top, where steered."""
    whys: Sequence[str | None]
    """Why less than what was asked for."""


Batch = tuple[Ready, Fused] | list[Ranking]
"""The rankings of a batch under one variant: what they are made of, or themselves."""


class Answers(NamedTuple):
    """A batch of lists under every variant."""

    flat: Flat
    ranked: list[Ranked]
    batches: list[Batch]
    texts: list[str]
    """The request that steered each list; empty where none did."""


def variants(weights: Sequence[float], fusions: Sequence[Method], versions: Sequence[str]) -> list[Variant]:
    """Every combination. No weights: those of the log."""
    made = []
    for place, version in enumerate(versions):
        for fusion in fusions:
            for weight in weights or (None,):
                parts = [
                    *([] if weight is None else [f"w{weight:g}"]),
                    *([fusion] if len(fusions) > 1 else []),
                    *([version] if len(versions) > 1 else []),
                ]
                made.append(Variant("-".join(parts) or "replay", weight, fusion, place))
    return made


def rank_all(
    flat: Flat,
    asked: Sequence[Sequence[Asked]],
    texts: list[str],
    servings: Sequence[Serving],
    wanted: Sequence[Variant],
) -> Answers:
    """`asked` has the lists of `flat` for each of the `servings`, with what steers them there."""
    ready = [
        make_ready(flat._replace(run=run), serving.rows(flat.numbers), serving.model)
        for run, serving in zip(asked, servings, strict=True)
    ]
    ranked, batches = [], []
    for variant in wanted:
        prepared = ready[variant.bundle]
        fused = fuse(prepared, weight=variant.weight, fusion=variant.fusion)
        ranked.append(_ranked(prepared, fused))
        batches.append((prepared, fused))
    return Answers(flat, ranked, list(batches), texts)


def _ranked(ready: Ready, fused: Fused) -> Ranked:
    lists = len(ready.flat.run)
    steered, alignments = np.zeros(lists, np.bool_), np.zeros((lists, 3))
    if fused.figures is not None:
        steered = np.array([steer is not None for steer in ready.steers])
        alignments = np.array(fused.figures[:3], np.float64).T
    whys = [
        why or ("unknown_items" if unknown else None)
        for (_, why), unknown in zip(ready.in_force, ready.unknown, strict=True)
    ]
    return Ranked(fused.order, fused.weights, steered, alignments, whys)
