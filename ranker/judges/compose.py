"""How the fits of single facts make up the score of a request: the same for every judge that scores fact by fact."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ranker.requests.spec import Fact, Spec

Scores = NDArray[np.float32]


def compose(spec: Spec, fit: Callable[[Fact], Scores], count: int) -> Scores:
    """(count,) float32 in [0, 1]: and = product, or = maximum, not = 1 - fit. `fit` gives (count,) float32 in [0, 1]."""
    scores = np.ones(count, dtype=np.float32)
    if spec.wanted:
        fits = np.stack([fit(fact) for fact in spec.wanted])  # (facts, n)
        scores = np.asarray(fits.max(axis=0) if spec.any_of else fits.prod(axis=0), dtype=np.float32)
    for fact in spec.refused:
        scores = scores * (1 - fit(fact))
    return scores
