"""Trains both towers: items first, towards targets in closed form; then a head of the request tower, against the items as
they now lie."""

import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ranker.catalogue import Catalogue
from ranker.judges.rule import RuleJudge
from ranker.requests import Category, Grammar
from ranker.taste import Taste
from ranker.training.batches import Batches
from ranker.training.budget import Budget
from ranker.training.head import Head, Reading, amounts_to
from ranker.training.readings import Readings
from ranker.training.targets import item_targets
from ranker.training.towers import Tower

ITEM_SHARE, READING_SHARE, HEAD_SHARE = 0.3, 0.42, 0.28
"""Of the budget. Items are read off their facts, which is learned sooner than the many ways of saying no."""
READ_AT_ONCE, HEAD_BATCH, HEAD_ITEMS, MOST_ITEMS = 256, 128, 256, 2048
HEAD_RATE, HEAD_DECAY = 1.5e-3, 0.05
SIDES_WEIGHT = 2.0
STANDARDISED_BY, NEUTRAL_BY = 4096, 1024
TARGET_REQUESTS = 3000
ITEM_BATCH = 32
FROZEN_LAYERS = 2
"""From below. They read words, which the backbone already can; a step without them costs a third less."""
ITEM_RATE, WARM_UP = 2e-4, 10

Watch = Callable[[str, float, float | None], None]
"""Is told after each step: the phase, how much of it is done (0 to 1), the loss; without a loss when a phase ends."""


@dataclass
class Trained:
    """What training leaves behind."""

    request: Tower
    item: Tower
    item_vectors: NDArray[np.float32]
    """(n, d) of the trained item tower, rows as in the catalogue."""
    zero_shot_vectors: NDArray[np.float32]
    """(n, d) of the untouched backbone, to compare with."""
    steps: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    requests_read: int = 0


def train(
    request: Tower,
    item: Tower,
    catalogue: Catalogue,
    tastes: Sequence[Taste],
    budget: Budget,
    seed: int,
    watch: Watch = lambda *_: None,
    *,
    rows: NDArray[np.int64] | None = None,
    without: Collection[Category] = (),
) -> Trained:
    """Trains both towers, in place, on requests in training phrasings by users with these tastes.

    `rows` are the items of the catalogue to train with, all unless given; no request is of a category in `without`.
    """
    torch.manual_seed(seed)
    grammar, judge = Grammar(catalogue), RuleJudge(catalogue)
    batches = Batches(grammar, judge, tastes, seed, without=without)
    rows = np.arange(len(catalogue)) if rows is None else rows
    started = time.monotonic()
    texts = catalogue.texts()
    zero_shot = item.eval().embed(texts)
    targets = torch.from_numpy(item_targets(batches.judged(TARGET_REQUESTS).scores[:, rows], zero_shot[rows]))
    prepared = time.monotonic() - started
    # The clock runs from the first step, whatever embedding the catalogue took: a phase ends when its own time is up.
    item_steps, item_seconds = _train_items(
        item, [texts[row] for row in rows], targets, budget.part(ITEM_SHARE), seed, watch
    )
    started = time.monotonic()
    vectors = item.embed(texts)
    embedded = time.monotonic() - started
    read, head_steps, head_seconds = _train_head(request, vectors, rows, batches, budget, seed, watch)
    return Trained(
        request,
        item,
        vectors,
        zero_shot,
        {"item": item_steps, "head": head_steps},
        {"targets": prepared, "item": item_seconds, "embedding": embedded, "request": head_seconds},
        read,
    )


def _train_items(
    tower: Tower, texts: Sequence[str], targets: Tensor, budget: Budget, seed: int, watch: Watch
) -> tuple[int, float]:
    """Cosine to the target of each item, the catalogue in a new order each time round."""
    tokens = tower.tokenize(texts)
    shuffle = random.Random(seed)
    waiting: list[int] = []

    def step() -> Tensor:
        while len(waiting) < min(ITEM_BATCH, len(tokens)):
            waiting.extend(shuffle.sample(range(len(tokens)), len(tokens)))
        rows = [waiting.pop() for _ in range(min(ITEM_BATCH, len(tokens)))]
        vectors, order = tower.in_parts([tokens[row] for row in rows])
        wanted = targets[[rows[place] for place in order]]
        return (1 - (vectors * wanted).sum(dim=1)).mean()

    return _fit(tower, step, budget, ITEM_RATE, lambda done, loss: watch("item tower", done, loss))


def _train_head(
    tower: Tower,
    item_vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
    batches: Batches,
    budget: Budget,
    seed: int,
    watch: Watch,
) -> tuple[int, int, float]:
    """Read requests once through the encoder as it is, then teach a head on what was read, many times over.

    Gives (requests read, steps, seconds).
    """
    started = time.monotonic()
    chosen = np.random.default_rng(seed).permutation(rows)[:MOST_ITEMS]
    items = torch.from_numpy(item_vectors[chosen])  # (n, d)
    reader = tower.reader()
    readings, judgments = Readings(), []
    for spent in budget.part(READING_SHARE).progress():
        judged = batches.judged(READ_AT_ONCE)
        for places, reading in reader.read(judged.texts):
            readings.append(reading)
            scores = np.concatenate([judged.scores[places][:, None], judged.sides[places]], axis=1)  # (b, 3, n)
            judgments.append(
                (torch.from_numpy(scores[:, :, chosen]).bfloat16(), torch.from_numpy(judged.present[places]))
            )
        watch("reading", spent, None)
    watch("reading", 1.0, None)
    wanted, present = (torch.cat(parts) for parts in zip(*judgments, strict=True))  # (m, 3, n), (m, 2)

    samples = readings.sample(STANDARDISED_BY)
    head = Head(samples[0].shape[1], samples[1].shape[1], item_vectors.shape[1])
    head.standardise(*samples)
    optimizer = torch.optim.AdamW(head.parameters(), lr=HEAD_RATE, weight_decay=HEAD_DECAY, fused=True)
    steps = 0
    for spent, batch in zip(budget.part(HEAD_SHARE).progress(), readings.batches(HEAD_BATCH, seed), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = HEAD_RATE * min(1.0, (steps + 1) / WARM_UP) * (1 - spent)
        columns = torch.randperm(len(items))[:HEAD_ITEMS]
        loss = _misunderstood(
            head, readings.of(batch), items[columns], wanted[batch][:, :, columns].float(), present[batch]
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        steps += 1
        watch("request head", spent, loss.item())
    watch("request head", 1.0, None)
    head.eval().add_neutral(readings.of(range(min(len(readings), NEUTRAL_BY))), torch.from_numpy(item_vectors))
    tower.head = head
    return len(readings), steps, time.monotonic() - started


def _misunderstood(head: Head, read: Reading, items: Tensor, judged: Tensor, present: Tensor) -> Tensor:
    """The loss of b requests on items (k, d), judged (b, 3, k) as a whole and by side.

    1 - r of the request as a whole, 1 - r of what each side names, and the cross-entropy of which sides there are; r is the
    correlation of the scores given with the judge's.
    """
    directions, sides = head.understood(read)
    given = torch.cat([amounts_to(directions, sides).unsqueeze(1), directions], dim=1) @ items.T  # (b, 3, d) @ (d, k)
    whole, wanted, refused = (1 - correlation(given, judged)).mean(dim=0)
    return (
        whole + (wanted + refused) / 2 + SIDES_WEIGHT * nn.functional.binary_cross_entropy_with_logits(sides, present)
    )


def correlation(left: Tensor, right: Tensor) -> Tensor:
    """Pearson's r of each row of two (..., k): (...), 0 where a row of either is constant."""
    left, right = (rows - rows.mean(dim=-1, keepdim=True) for rows in (left, right))
    return nn.functional.cosine_similarity(left, right, dim=-1)


def _fit(
    tower: Tower,
    step: Callable[[], Tensor],
    budget: Budget,
    learning_rate: float,
    watch: Callable[[float, float | None], None],
) -> tuple[int, float]:
    """AdamW on the loss that `step` gives, with a short warm-up and a straight line down to zero. Gives (steps, seconds)."""
    tower.freeze(FROZEN_LAYERS)
    tower.eval()  # without dropout: so few steps underfit, and its noise only slows them
    parameters = [parameter for parameter in tower.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.01, fused=True)
    started, steps = time.monotonic(), 0
    for spent in budget.progress():
        rate = learning_rate * min(1.0, (steps + 1) / WARM_UP) * (1 - spent)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = step()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        steps += 1
        watch(spent, loss.item())
    watch(1.0, None)
    return steps, time.monotonic() - started
