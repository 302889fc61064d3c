"""Early stopping: in a long training the request tower is looked at on dev phrasings now and then, and the best is kept.

Nothing is chosen on held-out phrasings, users, items or categories.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ranker.evaluate import Case, auc
from ranker.training.budget import Budget
from ranker.training.head import Head
from ranker.training.readings import Readings
from ranker.training.towers import Tower

LONG_SECONDS, LONG_STEPS = 300.0, 10_000
"""Shorter trainings are over before they could overfit, and soon done again: neither looked at nor checkpointed."""
EVERY = 100
"""Steps. A look reads some 560 requests; with far fewer, the best step would be chosen by chance."""
PATIENCE = 10


def is_long(budget: Budget) -> bool:
    """Whether a training with this budget is looked at, and keeps checkpoints."""
    return budget.seconds > LONG_SECONDS if budget.seconds is not None else (budget.steps or 0) > LONG_STEPS


class Stopping:
    """Keeps the best weights of a module by a figure that is measured every so many steps."""

    def __init__(
        self, module: nn.Module, measure: Callable[[], float], patience: int, every: int | None = None
    ) -> None:
        """`patience`: how many looks without a better one end the training."""
        self._module, self._measure, self._patience = module, measure, patience
        self.every = EVERY if every is None else every
        self.best, self.step, self._waited = -np.inf, 0, 0
        self._weights: dict[str, Tensor] = {}

    def look(self, step: int) -> float:
        """The figure now."""
        figure = self._measure()
        if figure > self.best:
            self.best, self.step, self._waited = figure, step, 0
            self._weights = {name: weight.clone() for name, weight in self._module.state_dict().items()}
        else:
            self._waited += 1
        return figure

    @property
    def over(self) -> bool:
        """Whether it is no use going on."""
        return self._waited >= self._patience

    def restore_best(self) -> None:
        """The module as it was at `step`."""
        self._module.load_state_dict(self._weights)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"best": self.best, "step": self.step, "waited": self._waited, "weights": self._weights}

    def resume(self, state: dict[str, Any]) -> None:
        """As it was when `state` was taken."""
        self.best, self.step, self._waited = state["best"], state["step"], state["waited"]
        self._weights = state["weights"]


class DevSet(NamedTuple):
    """Requests in dev phrasings, and items to find by them."""

    name: str
    cases: Sequence[Case]
    columns: NDArray[np.int64]
    """(k,) of what is judged."""
    items: Tensor
    """(k, d) their vectors."""


class DevAuc:
    """The mean over categories of the AUC of a request tower, those of one set being others than those of another."""

    def __init__(self, tower: Tower, sets: Sequence[DevSet]) -> None:
        """Reads the cases once with the `tower` as it is."""
        asked = [
            (part, case, relevant)
            for part in sets
            for case in part.cases
            if 0 < (relevant := case.relevant[part.columns]).sum() < len(relevant)
        ]
        self._readings, order = Readings(), list[int]()
        for rows, reading in tower.reader().read([case.text for _, case, _ in asked]):
            self._readings.append(reading)
            order += rows
        self._asked = [asked[row] for row in order]

    def __len__(self) -> int:
        return len(self._asked)

    @torch.no_grad()
    def of_head(self, head: Head) -> float:
        """Of a head over the tower as it was; it is left in training mode."""
        head.eval()
        vectors = head(self._readings.of(range(len(self))))
        head.train()
        return self._figure(vectors)

    def of_tower(self, tower: Tower) -> float:
        """Of a tower, whose head is left in training mode."""
        assert tower.head is not None
        tower.head.eval()
        vectors = torch.from_numpy(tower.embed([case.text for _, case, _ in self._asked]))
        tower.head.train()
        return self._figure(vectors)

    def _figure(self, vectors: Tensor) -> float:
        """Of the vectors (c, d) of the cases."""
        by_category: dict[tuple[str, str], list[float]] = {}
        for vector, (part, case, relevant) in zip(vectors, self._asked, strict=True):
            figure = auc((part.items @ vector).numpy(), relevant)  # (k, d) @ (d,)
            by_category.setdefault((part.name, case.category), []).append(figure)
        return float(np.mean([np.mean(figures) for figures in by_category.values()]))
