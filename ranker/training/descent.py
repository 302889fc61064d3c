"""The loop that every phase of training goes through."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import msgspec
import torch
from torch import Tensor, nn

from ranker.training.budget import Budget
from ranker.training.checkpoint import Checkpoint
from ranker.training.curve import Curve, Point
from ranker.training.stopping import Stopping

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
    parts: Sequence[tuple[nn.Module, float]],
    draws: Iterator[Drawn],
    loss_of: Callable[[Drawn], Tensor],
    budget: Budget,
    watch: Watch,
    checkpoint: Checkpoint,
    *,
    decay: float,
    stopping: Stopping | None = None,
) -> Descent:
    """AdamW on the loss of what is drawn, each part with a rate of its own: a short warm-up, then a straight line down to zero.

    Goes on from the checkpoint of this phase, where there is one: `draws` must give the same again from the start.
    """
    module = nn.ModuleList([part for part, _ in parts])
    parameters = {key: each for key, each in module.named_parameters() if each.requires_grad}
    groups = [
        {"params": [each for each in part.parameters() if each.requires_grad], "rate": rate} for part, rate in parts
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=decay, fused=True)
    name = phase.replace(" ", "-")
    curve, steps, started, finished = Curve(), 0, time.monotonic(), False

    def save() -> None:
        state: dict[str, Any] = {"weights": parameters, "optimizer": optimizer.state_dict()}
        state |= {"steps": steps, "seconds": time.monotonic() - started, "random": torch.get_rng_state()}
        state |= {"curve": msgspec.to_builtins(curve.points), "stride": curve.stride, "finished": finished}
        checkpoint.save(name, state | {"stopping": stopping and stopping.state()})

    if kept := checkpoint.load(name):
        module.load_state_dict(kept["weights"], strict=False)
        optimizer.load_state_dict(kept["optimizer"])
        torch.set_rng_state(kept["random"])
        curve = Curve(msgspec.convert(kept["curve"], list[Point]), kept["stride"])
        steps, started, finished = kept["steps"], started - kept["seconds"], kept["finished"]
        if stopping is not None:
            stopping.resume(kept["stopping"])
        if finished:
            watch(phase, 1.0, None)
            return Descent(steps, kept["seconds"], curve.rounded())
    elapsed = time.monotonic() - started
    for spent, drawn in zip(budget.progress(steps, elapsed), islice(draws, steps, None), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * min(1.0, (steps + 1) / WARM_UP) * (1 - spent)
        loss = loss_of(drawn)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        steps += 1
        measured = stopping.look(steps) if stopping is not None and steps % stopping.every == 0 else None
        curve.add(steps, time.monotonic() - started, loss.item(), measured)
        if checkpoint.due():
            save()
        watch(phase, spent, loss.item())
        if stopping is not None and stopping.over:
            break
    if stopping is not None:
        curve.points[-1].dev_auc = stopping.look(steps)
        stopping.restore_best()
    seconds, finished = time.monotonic() - started, True
    save()
    watch(phase, 1.0, None)
    return Descent(steps, seconds, curve.rounded())
