"""The loop that both phases are trained by."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from ranker.training.budget import Budget
from ranker.training.curve import Curve, Point

WARM_UP = 10
Drawn = TypeVar("Drawn")
Watch = Callable[[str, float, float | None], None]
"""Is told after each step: the phase, how much of it is done (0 to 1), the loss; without a loss when a phase ends."""


class Descent(NamedTuple):
    """What became of a phase."""

    steps: int
    seconds: float
    curve: list[Point]


def descend(
    phase: str,
    module: nn.Module,
    draws: Iterator[Drawn],
    loss_of: Callable[[Drawn], Tensor],
    budget: Budget,
    watch: Watch,
    *,
    rate: float,
    decay: float,
) -> Descent:
    """AdamW on the loss of what is drawn, with a short warm-up and a straight line down to zero."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)
    curve, steps, started = Curve(), 0, time.monotonic()
    for spent, drawn in zip(budget.progress(), draws, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (steps + 1) / WARM_UP) * (1 - spent)
        loss = loss_of(drawn)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        steps += 1
        curve.add(steps, time.monotonic() - started, loss.item())
        watch(phase, spent, loss.item())
    watch(phase, 1.0, None)
    return Descent(steps, time.monotonic() - started, curve.rounded())
