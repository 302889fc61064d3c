"""The request tower: requests are read once through the encoder as it is, then a head is taught on what was read."""

import time
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ranker.training.batches import Batches
from ranker.training.budget import Budget
from ranker.training.descent import Descent, Watch, descend
from ranker.training.head import Head
from ranker.training.losses import Loss, Misunderstood
from ranker.training.readings import Readings
from ranker.training.towers import Tower

READ_AT_ONCE, HEAD_BATCH, HEAD_ITEMS = 256, 128, 256
HEAD_RATE, HEAD_DECAY = 1.5e-3, 0.05
STANDARDISED_BY, NEUTRAL_BY = 4096, 1024


class Lessons(NamedTuple):
    """What was read of m requests, and what the judge says of n items."""

    readings: Readings
    judged: Tensor
    """(m, 3, n) bfloat16: as a whole, what is wanted, what is refused."""
    present: Tensor
    """(m, 2)."""
    seconds: float


def read_requests(tower: Tower, batches: Batches, chosen: NDArray[np.int64], budget: Budget, watch: Watch) -> Lessons:
    """Lessons on the items `chosen` (n,), by their rows in the catalogue."""
    started = time.monotonic()
    reader = tower.reader()
    readings, judgments = Readings(), []
    for spent in budget.progress():
        judged = batches.judged(READ_AT_ONCE)
        for places, reading in reader.read(judged.texts):
            readings.append(reading)
            scores = np.concatenate([judged.scores[places][:, None], judged.sides[places]], axis=1)  # (b, 3, n)
            judgments.append(
                (torch.from_numpy(scores[:, :, chosen]).bfloat16(), torch.from_numpy(judged.present[places]))
            )
        watch("reading", spent, None)
    watch("reading", 1.0, None)
    scored, present = (torch.cat(parts) for parts in zip(*judgments, strict=True))
    return Lessons(readings, scored, present, time.monotonic() - started)


def teach(
    lessons: Lessons,
    item_vectors: NDArray[np.float32],
    chosen: NDArray[np.int64],
    budget: Budget,
    seed: int,
    loss: Loss,
    watch: Watch,
) -> tuple[Head, Descent]:
    """A head that finds the items `chosen` among all items' vectors (n, d)."""
    torch.manual_seed(seed)
    items = torch.from_numpy(item_vectors[chosen])
    samples = lessons.readings.sample(STANDARDISED_BY)
    head = Head(samples[0].shape[1], samples[1].shape[1], item_vectors.shape[1])
    head.standardise(*samples)
    misunderstood = Misunderstood(loss)

    def loss_of(rows: list[int]) -> Tensor:
        columns = torch.randperm(len(items))[:HEAD_ITEMS]
        judged = lessons.judged[rows][:, :, columns].float()
        return misunderstood(head, lessons.readings.of(rows), items[columns], judged, lessons.present[rows])

    done = descend(
        "request head",
        nn.ModuleList([head, misunderstood]),
        lessons.readings.batches(HEAD_BATCH, seed),
        loss_of,
        budget,
        watch,
        rate=HEAD_RATE,
        decay=HEAD_DECAY,
    )
    some = range(min(len(lessons.readings), NEUTRAL_BY))
    head.eval().add_neutral(lessons.readings.of(some), torch.from_numpy(item_vectors))
    return head, done
