"""Draws the golden requests of a bundle: what is wanted, the same in other words, and the same refused."""

from collections.abc import Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray

from ranker.canaries import Canary, CanarySet, Kind, means, measure
from ranker.data import Dataset
from ranker.errors import DataError
from ranker.judges.rule import RELEVANT, RuleJudge
from ranker.rank import Model
from ranker.requests import Category, Grammar
from ranker.requesttext import request_text
from ranker.towers import Tower
from ranker.vectors import quantize_request

FACTS: tuple[Category, ...] = ("topic",) * 9 + ("era", "era", "popularity", "acclaim")
ITEMS = 60
"""Of a canary: half of them fit, if so many there are."""
ATTEMPTS = 20
FEWEST = 3


def draw_canaries(dataset: Dataset) -> list[Canary]:
    """Three of each of `FACTS`, in unusual phrasings, held out; none for a catalogue of which no requests can be made."""
    rng, catalogue = Random(1), dataset.catalogue  # noqa: S311 - a fixed sample, not a secret
    try:
        grammar = Grammar(catalogue)
    except DataError:
        return []
    judge, canaries, seen = RuleJudge(catalogue), list[Canary](), set[object]()
    for category in FACTS:
        for _ in range(ATTEMPTS):
            fact = grammar.fact(category, rng)
            wish, refusal = grammar.mirrored(fact, "heldout", rng)
            scores = judge.scores(wish.spec, None)
            rows = _rows(scores, rng)
            if fact in seen or not len(rows):
                continue
            seen.add(fact)
            other, _ = grammar.mirrored(fact, "heldout", rng)
            refused = judge.scores(refusal.spec, None)
            kinds: list[tuple[Kind, str, NDArray[np.float32]]] = [
                ("wish", wish.text, scores), ("paraphrase", other.text, scores), ("refusal", refusal.text, refused)
            ]  # fmt: skip
            ids = [catalogue.items[row].item_id for row in rows]
            canaries += [Canary(kind, text, ids, [round(float(s[r]), 3) for r in rows]) for kind, text, s in kinds]
            break
    return canaries


def with_baseline(canaries: Sequence[Canary], tower: Tower, model: Model) -> CanarySet | None:
    """Measured as served; None where there are no canaries."""
    figures = [measure(each, quantize_request(tower.embed(request_text(each.text, None))), model) for each in canaries]
    baseline = {kind: round(figure, 4) for kind, figure in means(canaries, figures).items()}
    return CanarySet(list(canaries), baseline) if canaries else None


def _rows(scores: NDArray[np.float32], rng: Random) -> Sequence[int]:
    """Rows of items that fit and of others, shuffled; none where one of the two is missing."""
    fit, other = (np.flatnonzero(which).tolist() for which in (scores >= RELEVANT, scores < RELEVANT))
    if min(len(fit), len(other)) < FEWEST:
        return []
    rows = rng.sample(fit, min(len(fit), ITEMS // 2)) + rng.sample(other, min(len(other), ITEMS // 2))
    rng.shuffle(rows)
    return rows
