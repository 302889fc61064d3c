"""The head of the request tower, taught on what the encoder as it is makes of many requests."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ranker.training.budget import Budget
from ranker.training.checkpoint import Checkpoint
from ranker.training.courses import Course, turns
from ranker.training.descent import Descent, Watch, descend
from ranker.training.head import Head
from ranker.training.lessons import Lessons
from ranker.training.losses import Loss, Misunderstood
from ranker.training.stopping import DevAuc, Stopping

HEAD_BATCH, HEAD_ITEMS = 128, 256
HEAD_RATE, HEAD_DECAY = 1.5e-3, 0.05
STANDARDISED_BY = 4096


class Taught(NamedTuple):
    """A head, and how it came to be."""

    head: Head
    misunderstood: Misunderstood
    descent: Descent


def teach(
    courses: Sequence[Course],
    lessons: Sequence[Lessons],
    item_vectors: Tensor,
    facts: Tensor,
    budget: Budget,
    seed: int,
    loss: Loss,
    watch: Watch,
    checkpoint: Checkpoint,
    dev: DevAuc | None,
    patience: int,
) -> Taught:
    """A head that finds the courses' items among all items' vectors (n, d); the best by `dev`, where there is one.

    `lessons` are those of each course; `facts` (k, d) are the directions in which items differ by what is judged of them.
    """
    torch.manual_seed(seed)
    items = [item_vectors[course.rows] for course in courses]
    sample = lessons[0].readings.sample(STANDARDISED_BY)
    head = Head(sample.shape[1], facts)
    head.standardise(sample)
    misunderstood = Misunderstood(loss)

    def loss_of(drawn: tuple[int, list[int]]) -> Tensor:
        course, rows = drawn
        columns = torch.randperm(len(items[course]))[:HEAD_ITEMS]
        judged, present = lessons[course].judged(rows, columns)
        return misunderstood(head, lessons[course].readings.of(rows), items[course][columns], judged, present)

    stopping = Stopping(head, partial(dev.of_head, head), patience) if dev else None
    taught = descend(
        "request head",
        [(head, HEAD_RATE), (misunderstood, HEAD_RATE)],
        _draws(courses, lessons, seed),
        loss_of,
        budget,
        watch,
        checkpoint,
        decay=HEAD_DECAY,
        stopping=stopping,
    )
    return Taught(head, misunderstood, taught)


def _draws(courses: Sequence[Course], lessons: Sequence[Lessons], seed: int) -> Iterator[tuple[int, list[int]]]:
    """Rows of the lessons of one course at a time, by their shares; a course that nothing was read of is left out."""
    batches = [each.readings.batches(HEAD_BATCH, seed) for each in lessons]
    read = [place for place, each in enumerate(lessons) if len(each)]
    for turn in turns([courses[place].share for place in read]):
        yield read[turn], next(batches[read[turn]])
