"""The head of the request tower: requests are read once through the encoder as it is, and it is taught on what was read."""

import time
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ranker.training.batches import Batches
from ranker.training.budget import Budget
from ranker.training.checkpoint import Checkpoint
from ranker.training.descent import Descent, Watch, descend
from ranker.training.head import Head
from ranker.training.losses import Loss, Misunderstood
from ranker.training.readings import Readings
from ranker.training.stopping import DevAuc, Stopping
from ranker.training.towers import Tower

READ_AT_ONCE, HEAD_BATCH, HEAD_ITEMS = 256, 128, 256
HEAD_RATE, HEAD_DECAY = 1.5e-3, 0.05
STANDARDISED_BY = 4096
PART = 2048
"""Requests in one file of a checkpoint, about 120 MB with MiniLM and MovieLens."""


class Lessons(NamedTuple):
    """What was read of m requests, and what the judge says of n items."""

    readings: Readings
    judged: Tensor
    """(m, 3, n) bfloat16: as a whole, what is wanted, what is refused."""
    present: Tensor
    """(m, 2)."""
    seconds: float


class Taught(NamedTuple):
    """A head, and how it came to be."""

    head: Head
    misunderstood: Misunderstood
    descent: Descent


def read_requests(
    tower: Tower, batches: Batches, chosen: NDArray[np.int64], budget: Budget, watch: Watch, checkpoint: Checkpoint
) -> Lessons:
    """Lessons on the items `chosen` (n,), by their rows in the catalogue.

    They are kept in parts of the checkpoint, since reading is most of a training and must not be done twice.
    """
    started, reader = time.monotonic(), tower.reader()
    readings, judged, present = Readings(), list[Tensor](), list[Tensor]()
    rounds, parts, kept_readings, kept_judged = 0, 0, 0, 0
    while part := checkpoint.load(_part(parts)):
        readings.extend(part["readings"])
        judged.append(part["judged"])
        present.append(part["present"])
        batches.resume(part["batches"])
        rounds, seconds, parts = part["rounds"], part["seconds"], parts + 1
        kept_readings, kept_judged, started = len(readings), len(judged), time.monotonic() - seconds

    def keep() -> None:
        nonlocal parts, kept_readings, kept_judged
        state = {"readings": readings.packed(kept_readings), "batches": batches.state(), "rounds": rounds}
        state |= {"judged": torch.cat(judged[kept_judged:]), "present": torch.cat(present[kept_judged:])}
        checkpoint.save(_part(parts), state | {"seconds": time.monotonic() - started})
        parts, kept_readings, kept_judged = parts + 1, len(readings), len(judged)

    for spent in budget.progress(rounds, time.monotonic() - started):
        drawn = batches.judged(READ_AT_ONCE)
        for places, reading in reader.read(drawn.texts):
            readings.append(reading)
            scores = np.concatenate([drawn.scores[places][:, None], drawn.sides[places]], axis=1)  # (b, 3, n)
            judged.append(torch.from_numpy(scores[:, :, chosen]).bfloat16())
            present.append(torch.from_numpy(drawn.present[places]))
        rounds += 1
        if len(readings) - kept_readings >= PART or checkpoint.due():
            keep()
        watch("reading", spent, None)
    seconds = time.monotonic() - started
    if len(readings) > kept_readings:
        keep()
    watch("reading", 1.0, None)
    return Lessons(readings, torch.cat(judged), torch.cat(present), seconds)


def _part(number: int) -> str:
    return f"reading-{number:05}"


def teach(
    lessons: Lessons,
    item_vectors: NDArray[np.float32],
    chosen: NDArray[np.int64],
    budget: Budget,
    seed: int,
    loss: Loss,
    watch: Watch,
    checkpoint: Checkpoint,
    dev: DevAuc | None,
    patience: int,
) -> Taught:
    """A head that finds the items `chosen` among all items' vectors (n, d); the best by `dev`, where there is one."""
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

    stopping = Stopping(head, partial(dev.of_head, head), patience) if dev else None
    taught = descend(
        "request head",
        [(head, HEAD_RATE), (misunderstood, HEAD_RATE)],
        lessons.readings.batches(HEAD_BATCH, seed),
        loss_of,
        budget,
        watch,
        checkpoint,
        decay=HEAD_DECAY,
        stopping=stopping,
    )
    return Taught(head, misunderstood, taught)
