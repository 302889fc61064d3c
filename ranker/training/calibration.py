"""What a cosine means: the logistic curve from cosines to the chance that the judge finds the item relevant."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ranker.bundle import Calibration
from ranker.evaluate import Case, Embed

ITERATIONS = 25
RIDGE = 1e-4


def calibrate(measured: Sequence[Case], embed_requests: Embed, item_vectors: NDArray[np.float32]) -> Calibration:
    """Logistic regression by Newton's method, Platt 1999, over all pairs of a case and an item.

    Relevant and other items weigh the same within each case: most requests fit few items, refusals fit nearly all, and an
    alignment of 0.5 is to lie between what fits and what does not in both.
    """
    cosines = embed_requests([case.text for case in measured]) @ item_vectors.T  # (c, d) @ (d, n) -> (c, n)
    relevant = np.stack([case.relevant for case in measured]).astype(np.float64)
    weight = relevant / relevant.sum(axis=1, keepdims=True) + (1 - relevant) / (1 - relevant).sum(axis=1, keepdims=True)
    x, y, w = cosines.ravel().astype(np.float64), relevant.ravel(), weight.ravel() / weight.sum()
    design = np.stack([x, np.ones_like(x)])  # (2, pairs)
    solution = np.zeros(2)
    for _ in range(ITERATIONS):
        chance = 1 / (1 + np.exp(-(solution @ design)))
        gradient = design @ (w * (chance - y)) + RIDGE * solution
        curvature = (design * (w * chance * (1 - chance))) @ design.T + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        solution = solution - step
        if np.abs(step).max() < 1e-6:
            break
    return Calibration(slope=float(solution[0]), intercept=float(solution[1]))
