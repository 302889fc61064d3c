"""What a head is taught on: readings of many requests, and what the judge says of each."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ranker.training.batches import Judged
from ranker.training.budget import Budget
from ranker.training.checkpoint import Checkpoint
from ranker.training.courses import Course, begin, turns
from ranker.training.descent import Watch
from ranker.training.head import Reading
from ranker.training.readings import Readings
from ranker.training.towers import Tower

READ_AT_ONCE = 256
PART = 2048
"""Requests in one file of a checkpoint, about 100 MB with MiniLM and MovieLens."""


class Lessons:
    """Those of one course; grows request by request."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self.readings = Readings()
        self._judged: list[Tensor] = []
        self._present: list[Tensor] = []

    def __len__(self) -> int:
        return len(self.readings)

    def append(self, reading: Reading, judged: Judged, places: Sequence[int]) -> None:
        """What was read of some of the requests that were judged."""
        self.readings.append(reading)
        scores = np.concatenate([judged.scores[places][:, None], judged.sides[places]], axis=1)  # (b, 3, n)
        self._judged += torch.from_numpy(scores[:, :, self._course.columns]).bfloat16()
        self._present += torch.from_numpy(judged.present[places])

    def judged(self, rows: Sequence[int], columns: Tensor) -> tuple[Tensor, Tensor]:
        """(b, 3, k) of these requests on these of the course's columns: as a whole, what is wanted, what is refused; and
        (b, 2) whether anything is."""
        scores = torch.stack([self._judged[row][:, columns] for row in rows]).float()
        return scores, torch.stack([self._present[row] for row in rows])

    def packed(self, start: int) -> dict[str, Tensor]:
        """Those from `start` on, to be kept on the disk; empty where there are none."""
        if start == len(self):
            return {}
        told = {"judged": torch.stack(self._judged[start:]), "present": torch.stack(self._present[start:])}
        return self.readings.packed(start) | told

    def extend(self, packed: dict[str, Tensor]) -> None:
        """Take in what was packed."""
        if packed:
            self.readings.extend(packed)
            self._judged += packed["judged"]
            self._present += packed["present"]


class Read(NamedTuple):
    """Of each course its lessons, and how long it took to read them."""

    lessons: list[Lessons]
    seconds: float


def read_requests(
    tower: Tower, courses: Sequence[Course], budget: Budget, watch: Watch, checkpoint: Checkpoint
) -> Read:
    """Reads requests through the encoder as it is, by the courses' shares.

    They are kept in parts of the checkpoint, since they must not be read twice.
    """
    started, reader = time.monotonic(), tower.reader()
    begin(courses, "reading")
    read = [Lessons(course) for course in courses]
    order = turns([course.share for course in courses])
    rounds, parts, kept = 0, 0, [0] * len(read)
    while part := checkpoint.load(_part(parts)):
        for lessons, course, packed, state in zip(read, courses, part["lessons"], part["batches"], strict=True):
            lessons.extend(packed)
            course.batches.resume(state)
        while rounds < part["rounds"]:
            next(order)
            rounds += 1
        parts, kept = parts + 1, [len(lessons) for lessons in read]
        started = time.monotonic() - part["seconds"]

    def keep() -> None:
        nonlocal parts, kept
        state: dict[str, Any] = {"lessons": [lessons.packed(start) for lessons, start in zip(read, kept, strict=True)]}
        state |= {"batches": [course.batches.state() for course in courses]}
        checkpoint.save(_part(parts), state | {"rounds": rounds, "seconds": time.monotonic() - started})
        parts, kept = parts + 1, [len(lessons) for lessons in read]

    for spent in budget.progress(rounds, time.monotonic() - started):
        place = next(order)
        judged = courses[place].batches.judged(READ_AT_ONCE)
        for places, reading in reader.read(judged.texts):
            read[place].append(reading, judged, places)
        rounds += 1
        if sum(map(len, read)) - sum(kept) >= PART or checkpoint.due():
            keep()
        watch("reading", spent, None)
    seconds = time.monotonic() - started
    if sum(map(len, read)) > sum(kept):
        keep()
    watch("reading", 1.0, None)
    return Read(read, seconds)


def _part(number: int) -> str:
    return f"reading-{number:05}"
