"""Trains both towers: items first, towards targets in closed form; then the request tower against the items as they now
lie, its head over the encoder as it is and then, in a long training, both."""

import random
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ranker.catalogue import Catalogue
from ranker.evaluate import Case
from ranker.judges.rule import RuleJudge
from ranker.requests import Category, Grammar
from ranker.taste import Taste
from ranker.training.batches import Batches
from ranker.training.budget import Budget
from ranker.training.checkpoint import Checkpoint
from ranker.training.curve import Point
from ranker.training.descent import Descent, Watch, descend
from ranker.training.losses import Loss
from ranker.training.stopping import PATIENCE, DevAuc, is_long
from ranker.training.targets import item_targets
from ranker.training.teaching import read_requests, teach
from ranker.training.towers import Tower
from ranker.training.tuning import add_neutral, tune


class Shares(NamedTuple):
    """Of the budget. Items are read off their facts, which is learned sooner than the many ways of saying no."""

    item: float
    reading: float
    head: float
    tuning: float


SHORT, LONG = Shares(0.3, 0.42, 0.28, 0.0), Shares(0.12, 0.1, 0.06, 0.72)
"""A step of tuning costs ten of the head's: in a few minutes there are too few of them to catch up with it."""
TARGET_REQUESTS = 3000
MOST_ITEMS = 2048
ITEM_BATCH = 32
ITEM_RATE, ITEM_DECAY = 2e-4, 0.01
FROZEN_LAYERS = 2
"""From below. They read words, which the backbone already can; a step without them costs a third less."""


@dataclass
class Trained:
    """What training leaves behind."""

    request: Tower
    item: Tower
    item_vectors: NDArray[np.float32]
    """(n, d) of the trained item tower, rows as in the catalogue."""
    zero_shot_vectors: NDArray[np.float32]
    """(n, d) of the untouched backbone, to compare with."""
    steps: dict[str, int]
    seconds: dict[str, float]
    requests_read: int
    curve: dict[str, list[Point]]
    kept_step: int | None
    """Of the request tower, where it was looked at on dev phrasings."""


def train(
    request: Tower,
    item: Tower,
    catalogue: Catalogue,
    tastes: Sequence[Taste],
    budget: Budget,
    seed: int,
    watch: Watch,
    checkpoint: Checkpoint,
    *,
    rows: NDArray[np.int64] | None = None,
    without: Collection[Category] = (),
    loss: Loss = "correlation",
    dev: Sequence[Case] = (),
    patience: int = PATIENCE,
) -> Trained:
    """Trains both towers, in place, on requests in training phrasings by users with these tastes.

    `rows` are the items of the catalogue to train with, all unless given; no request is of a category in `without`. With
    cases of `dev`, the request tower that orders the items best for them is kept, and `patience` looks without a better one
    end it.
    Goes on from `checkpoint`, where it holds something.
    """
    grammar, judge = Grammar(catalogue), RuleJudge(catalogue)
    batches = Batches(grammar, judge, tastes, seed, without=without)
    rows = np.arange(len(catalogue)) if rows is None else rows
    shares = LONG if is_long(budget) else SHORT
    started = time.monotonic()
    texts = catalogue.texts()
    if (kept := checkpoint.load("targets")) is None:
        zero_shot = item.eval().embed(texts)
        targets = item_targets(batches.judged(TARGET_REQUESTS).scores[:, rows], zero_shot[rows])
        kept = {
            "zero-shot": torch.from_numpy(zero_shot),
            "targets": torch.from_numpy(targets),
            "batches": batches.state(),
        }
        checkpoint.save("targets", kept)
    batches.resume(kept["batches"])
    prepared = time.monotonic() - started
    # The clock runs from the first step, whatever embedding the catalogue took: a phase ends when its own time is up.
    placed = _train_items(
        item, [texts[row] for row in rows], kept["targets"], budget.part(shares.item), seed, watch, checkpoint
    )
    started = time.monotonic()
    vectors = item.embed(texts)
    embedded = time.monotonic() - started
    chosen = np.random.default_rng(seed).permutation(rows)[:MOST_ITEMS]
    lessons = read_requests(request, batches, chosen, budget.part(shares.reading), watch, checkpoint)
    measure = DevAuc(request, dev, chosen, torch.from_numpy(vectors[chosen])) if dev else None
    head_budget = budget.part(shares.head)
    taught = teach(lessons, vectors, chosen, head_budget, seed, loss, watch, checkpoint, measure, patience)
    requests_read, reading_seconds = len(lessons.readings), lessons.seconds
    del lessons  # some gigabytes, after a long training
    request.head = taught.head
    steps = {"item": placed.steps, "head": taught.descent.steps}
    curve = {"item tower": placed.curve, "request head": taught.descent.curve}
    seconds, kept_step = reading_seconds + taught.descent.seconds, None
    if shares.tuning:
        tuning = budget.part(shares.tuning)
        tuned = tune(
            request, taught.misunderstood, batches, vectors, chosen, tuning, seed, watch, checkpoint, measure, patience
        )
        steps["request"], curve["request tower"] = tuned.descent.steps, tuned.descent.curve
        seconds, kept_step = seconds + tuned.descent.seconds, tuned.kept_step
    add_neutral(request, batches, vectors)
    return Trained(
        request,
        item,
        vectors,
        kept["zero-shot"].numpy(),
        steps,
        {"targets": prepared, "item": placed.seconds, "embedding": embedded, "request": seconds},
        requests_read,
        curve,
        kept_step,
    )


def _train_items(
    tower: Tower,
    texts: Sequence[str],
    targets: Tensor,
    budget: Budget,
    seed: int,
    watch: Watch,
    checkpoint: Checkpoint,
) -> Descent:
    """Cosine to the target of each item. No judged score is left in it to be lost by: the targets hold them all at once."""
    tokens = tower.tokenize(texts)

    def loss_of(rows: list[int]) -> Tensor:
        vectors, order = tower.in_parts([tokens[row] for row in rows])
        wanted = targets[[rows[place] for place in order]]
        return (1 - (vectors * wanted).sum(dim=1)).mean()

    tower.freeze(FROZEN_LAYERS)
    tower.eval()  # without dropout: so few steps underfit, and its noise only slows them
    draws = _rounds(len(tokens), seed)
    return descend("item tower", [(tower, ITEM_RATE)], draws, loss_of, budget, watch, checkpoint, decay=ITEM_DECAY)


def _rounds(count: int, seed: int) -> Iterator[list[int]]:
    """Rows, the whole catalogue in a new order each time round."""
    shuffle, waiting = random.Random(seed), list[int]()
    size = min(ITEM_BATCH, count)
    while True:
        while len(waiting) < size:
            waiting.extend(shuffle.sample(range(count), count))
        yield [waiting.pop() for _ in range(size)]
