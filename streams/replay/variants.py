"""The variants of a replay: what weight, which fusion, which bundle; and ranking a batch under all of them at once.

What variants share is done once: decoding and base order for all of them; vectors, scores and the control's own order for
those of one bundle. Only fusing, and what is said of the outcome, is done for each.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ranker.fusion import Method
from ranker.rank import Asked, Flat, Fused, Ready, fuse, make_ready
from streams.replay.state import Serving


class Variant(NamedTuple):
    """`weight`, if given, stands in for every weight that a list or a request names; `bundle` is one's place."""

    name: str
    weight: float | None
    fusion: Method
    bundle: int = 0


class Answers(NamedTuple):
    """A batch of lists under every variant."""

    flat: Flat
    ready: list[Ready]
    """Of the bundle of each variant; those of one bundle share it."""
    fused: list[Fused]
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
    flat: Flat, asked: Sequence[Sequence[Asked]], texts: list[str], servings: Sequence[Serving], wanted: Sequence[Variant]
) -> Answers:
    """`asked` has the lists of `flat` for each of the `servings`, with what steers them there."""
    ready = [
        make_ready(flat._replace(run=run), serving.rows(flat.numbers), serving.model)
        for run, serving in zip(asked, servings, strict=True)
    ]
    of_variant = [ready[variant.bundle] for variant in wanted]
    fused = [
        fuse(prepared, weight=variant.weight, fusion=variant.fusion)
        for prepared, variant in zip(of_variant, wanted, strict=True)
    ]
    return Answers(flat, of_variant, fused, texts)
