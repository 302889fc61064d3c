"""Fine-tunes both towers: items first, towards targets in closed form; then requests, against the items as they now lie."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ranker.catalogue import Catalogue
from ranker.judges.rule import RuleJudge
from ranker.requests import Grammar
from ranker.taste import Taste
from ranker.training.batches import Batches
from ranker.training.budget import Budget
from ranker.training.loss import pairwise_logistic
from ranker.training.targets import item_targets
from ranker.training.towers import Tower

ITEM_SHARE = 0.3
"""Of the budget. Items are read off their facts, which is learned sooner than the many ways of saying no."""
TARGET_REQUESTS = 3000
ITEM_BATCH = 32
REQUESTS, ITEMS, NEAR = 16, 128, 1
"""Many small steps: of the requests seen, each then moves the tower on from where the last one left it."""
FROZEN_LAYERS = 2
"""From below. They read words, which the backbone already can; a step without them costs a third less."""
SHORT_FIRST, UNTIL = 6, 0.6
"""Training begins with the shortest of up to seven wordings and takes any from this share of the budget on."""
ITEM_RATE, REQUEST_RATE, WARM_UP = 2e-4, 4e-4, 10

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


def train(
    request: Tower,
    item: Tower,
    catalogue: Catalogue,
    tastes: Sequence[Taste],
    budget: Budget,
    seed: int,
    watch: Watch = lambda *_: None,
) -> Trained:
    """Trains both towers, in place, on requests in training phrasings by users with these tastes."""
    torch.manual_seed(seed)
    grammar, judge = Grammar(catalogue), RuleJudge(catalogue)
    batches = Batches(grammar, judge, tastes, seed)
    started = time.monotonic()
    texts = catalogue.texts()
    zero_shot = item.eval().embed(texts)
    targets = torch.from_numpy(item_targets(batches.judgments(TARGET_REQUESTS), zero_shot))
    prepared = time.monotonic() - started
    # The clock runs from the first step, whatever embedding the catalogue took: a phase ends when its own time is up.
    item_steps, item_seconds = _train_items(item, texts, targets, budget.part(ITEM_SHARE), seed, watch)
    started = time.monotonic()
    vectors = item.embed(texts)
    embedded = time.monotonic() - started
    request_steps, request_seconds = _train_requests(request, vectors, batches, budget.part(1 - ITEM_SHARE), watch)
    return Trained(
        request,
        item,
        vectors,
        zero_shot,
        {"item": item_steps, "request": request_steps},
        {"targets": prepared, "item": item_seconds, "embedding": embedded, "request": request_seconds},
    )


def _train_items(
    tower: Tower, texts: Sequence[str], targets: Tensor, budget: Budget, seed: int, watch: Watch
) -> tuple[int, float]:
    """Cosine to the target of each item, the catalogue in a new order each time round."""
    tokens = tower.tokenize(texts)
    shuffle = random.Random(seed)
    waiting: list[int] = []

    def step(_spent: float) -> Tensor:
        while len(waiting) < min(ITEM_BATCH, len(tokens)):
            waiting.extend(shuffle.sample(range(len(tokens)), len(tokens)))
        rows = [waiting.pop() for _ in range(min(ITEM_BATCH, len(tokens)))]
        vectors, order = tower.in_parts([tokens[row] for row in rows])
        wanted = targets[[rows[place] for place in order]]
        return (1 - (vectors * wanted).sum(dim=1)).mean()

    return _fit(tower, step, budget, ITEM_RATE, lambda done, loss: watch("item tower", done, loss))


def _train_requests(
    tower: Tower, item_vectors: NDArray[np.float32], batches: Batches, budget: Budget, watch: Watch
) -> tuple[int, float]:
    """Judgment matrices against item vectors that stay where they are."""
    items = torch.from_numpy(item_vectors)

    def step(spent: float) -> Tensor:
        shortest = 1 + round(SHORT_FIRST * max(0.0, 1 - spent / UNTIL))
        batch = batches.draw(REQUESTS, ITEMS, NEAR, shortest=shortest)
        vectors, order = tower.in_parts(tower.tokenize(batch.texts))
        cosines = vectors @ items[batch.rows].T  # (r, d) @ (d, n) -> (r, n)
        return pairwise_logistic(cosines, torch.from_numpy(batch.judged[order]))

    return _fit(tower, step, budget, REQUEST_RATE, lambda done, loss: watch("request tower", done, loss))


def _fit(
    tower: Tower,
    step: Callable[[float], Tensor],
    budget: Budget,
    learning_rate: float,
    watch: Callable[[float, float | None], None],
) -> tuple[int, float]:
    """AdamW with a short warm-up and a straight line down to zero. Gives (steps, seconds).

    `step` is told what share of the budget is spent and gives the loss.
    """
    tower.freeze(FROZEN_LAYERS)
    tower.eval()  # without dropout: so few steps underfit, and its noise only slows them
    parameters = [parameter for parameter in tower.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.01, fused=True)
    started, steps = time.monotonic(), 0
    for spent in budget.progress():
        rate = learning_rate * min(1.0, (steps + 1) / WARM_UP) * (1 - spent)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = step(spent)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        steps += 1
        watch(spent, loss.item())
    watch(1.0, None)
    return steps, time.monotonic() - started
