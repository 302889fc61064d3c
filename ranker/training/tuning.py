"""The request tower as a whole: its encoder learns along with the head that was taught on it.

A head over a frozen encoder hears a "no" that it was told of. In words that it was not told of, the sense of many a turn of
phrase is only in what the layers make of it together, and they were never asked for that: tuned, they tell a wish from a
refusal where no head over the same readings does, however many phrasings it is taught.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ranker.training.batches import Batches
from ranker.training.budget import Budget
from ranker.training.checkpoint import Checkpoint
from ranker.training.courses import Source, begin, draws
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
    sources: Sequence[Source],
    item_vectors: Tensor,
    budget: Budget,
    seed: int,
    watch: Watch,
    checkpoint: Checkpoint,
    dev: DevAuc | None,
    patience: int,
) -> Tuned:
    """Tunes the tower, which has a head, in place, to find the sources' items among all items' vectors (n, d).

    The best by `dev` is kept, where there is one.
    """
    head = tower.head
    assert head is not None
    torch.manual_seed(seed)

    def loss_of(drawn: tuple[int, Sequence[Any]]) -> Tensor:
        place, requests = drawn
        scored = sources[place].scored(requests, ITEMS)
        (directions, sides), order = tower.understood_in_parts(tower.tokenize(scored.texts))
        scores, present = torch.from_numpy(scored.scores)[order], torch.from_numpy(scored.present)[order]
        meant = None if scored.meant is None else torch.from_numpy(scored.meant)[order]
        return misunderstood.of_sides(directions, sides, item_vectors[scored.rows], scores, present, meant)

    begin(sources, "tuning")
    tower.freeze(0)
    tower.eval()  # without dropout: the head has noise of its own, and long trainings are looked at
    head.train()
    stopping = Stopping(nn.ModuleList([tower.encoder, head]), partial(dev.of_tower, tower), patience) if dev else None
    descent = descend(
        "request tower",
        [(tower.encoder, ENCODER_RATE), (head, HEAD_RATE), (misunderstood, HEAD_RATE)],
        draws(sources, BATCH),
        loss_of,
        budget,
        watch,
        checkpoint,
        decay=DECAY,
        stopping=stopping,
    )
    tower.eval()
    return Tuned(descent, stopping.step if stopping else None)


def add_neutral(tower: Tower, batches: Batches, items: Tensor, others: Tensor) -> None:
    """Give the head its fixed vector between yes and no, the last of training, by what the tower makes of some requests.

    `items` (n, d) are the catalogue's and `others` (m, d) texts that are none of it: a vector along which only the catalogue's
    own hardly differ has an order of all others.
    """
    assert tower.head is not None
    batches.begin("neutral")
    readings = Readings()
    for _, reading in tower.reader().read([drawn.text for drawn in batches.draw(NEUTRAL_BY)]):
        readings.append(reading)
    tower.head.eval().add_neutral(readings.of(range(len(readings))), items, others)
