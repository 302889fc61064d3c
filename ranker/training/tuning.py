"""The request tower as a whole: its encoder learns along with the head that was taught on it.

A head over a frozen encoder hears a "no" that it was told of. In words that it was not told of, the sense of many a turn of
phrase is only in what the layers make of it together, and they were never asked for that: tuned, they tell a wish from a
refusal where no head over the same readings does, however many phrasings it is taught.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ranker.training.batches import Batches, Drawn
from ranker.training.budget import Budget
from ranker.training.checkpoint import Checkpoint
from ranker.training.descent import Descent, Watch, descend
from ranker.training.losses import Misunderstood
from ranker.training.readings import Readings
from ranker.training.stopping import DevAuc, Stopping
from ranker.training.towers import Tower

BATCH, ITEMS = 48, 256
ENCODER_RATE, HEAD_RATE, DECAY = 2e-4, 5e-4, 0.01
NEUTRAL_BY = 512


class Tuned(NamedTuple):
    """How it went."""

    descent: Descent
    kept_step: int | None
    """Whose weights are kept, where it was looked at; otherwise the last's."""


def tune(
    tower: Tower,
    misunderstood: Misunderstood,
    batches: Batches,
    item_vectors: NDArray[np.float32],
    chosen: NDArray[np.int64],
    budget: Budget,
    seed: int,
    watch: Watch,
    checkpoint: Checkpoint,
    dev: DevAuc | None,
    patience: int,
) -> Tuned:
    """Tunes the tower, which has a head, in place, to find the items `chosen` among all items' vectors (n, d).

    The best by `dev` is kept, where there is one.
    """
    head = tower.head
    assert head is not None
    torch.manual_seed(seed)
    items = torch.from_numpy(item_vectors[chosen])

    def loss_of(drawn: list[Drawn]) -> Tensor:
        judged = batches.judge(drawn)
        columns = torch.randperm(len(items))[:ITEMS]
        scores = np.concatenate([judged.scores[:, None], judged.sides], axis=1)[:, :, chosen[columns.numpy()]]
        (directions, sides), order = tower.understood_in_parts(tower.tokenize(judged.texts))
        scored, present = torch.from_numpy(scores)[order], torch.from_numpy(judged.present)[order]
        return misunderstood.of_sides(directions, sides, items[columns], scored, present)

    tower.freeze(0)
    tower.eval()  # without dropout, as the item tower; the head has noise of its own
    head.train()
    stopping = Stopping(nn.ModuleList([tower.encoder, head]), partial(dev.of_tower, tower), patience) if dev else None
    descent = descend(
        "request tower",
        [(tower.encoder, ENCODER_RATE), (head, HEAD_RATE), (misunderstood, HEAD_RATE)],
        _draws(batches),
        loss_of,
        budget,
        watch,
        checkpoint,
        decay=DECAY,
        stopping=stopping,
    )
    return Tuned(descent, stopping.step if stopping else None)


def add_neutral(tower: Tower, batches: Batches, item_vectors: NDArray[np.float32]) -> None:
    """Give the head its fixed vector between yes and no, the last of training, by what the tower makes of some requests."""
    assert tower.head is not None
    readings = Readings()
    for _, reading in tower.reader().read([drawn.text for drawn in batches.draw(NEUTRAL_BY)]):
        readings.append(reading)
    tower.head.eval().add_neutral(readings.of(range(len(readings))), torch.from_numpy(item_vectors))


def _draws(batches: Batches) -> Iterator[list[Drawn]]:
    """Judged only when their turn comes: a training that goes on passes over those that it has had."""
    while True:
        yield batches.draw(BATCH)
