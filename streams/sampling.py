"""Which rankings are measured closely: one user's lists resemble each other, and a close look costs as much as a ranking."""

from collections import OrderedDict
from collections.abc import Iterable
from time import monotonic

import msgspec
import numpy as np

from monitoring.metrics import Metrics
from ranker.adherence import kendall_tau
from ranker.events import Adherence, CandidateList, Ranking
from ranker.rank import Model, rank
from ranker.run import Asked, Steering

PER_CONTROL = 60.0
"""Seconds between two samples of one control."""
PER_WORKER = 0.05
"""Seconds between two samples of any: a close look costs several rankings, and 70,000 an hour are plenty."""
TOP = 50
"""Length of the orders that are correlated: the square of it is compared."""
REMEMBERED = 50_000


class Sampler:
    """Feeds the adherence metrics."""

    def __init__(self, model: Model, metrics: Metrics) -> None:
        self._model, self._metrics = model, metrics
        self._next = 0.0
        self._sampled: OrderedDict[str | tuple[str, str], float] = OrderedDict()

    def look(self, ranked: Iterable[tuple[Asked, Ranking]]) -> None:
        """Measure one of these rankings, the first whose turn it is, if it is time for any."""
        if (now := monotonic()) < self._next:
            return
        for (candidates, steering, _), ranking in ranked:
            if steering is None or ranking.adherence is None:
                continue
            if now - self._sampled.get(_control(candidates, steering), -PER_CONTROL) >= PER_CONTROL:
                self._next = now + PER_WORKER
                self._measure(candidates, steering, ranking.adherence, now)
                return

    def _measure(self, candidates: CandidateList, steering: Steering, figures: Adherence, now: float) -> None:
        control = _control(candidates, steering)
        self._sampled[control] = now
        self._sampled.move_to_end(control)
        if len(self._sampled) > REMEMBERED:
            self._sampled.popitem(last=False)
        self._metrics.quality.adherence(
            base=figures.base, fused=figures.fused, gain=figures.gain, overlap=figures.overlap, ood=steering.ood
        )
        whole = rank(msgspec.structs.replace(candidates, explain=True, top_k=TOP), steering, self._model).explain
        assert whole is not None  # noqa: S101  asked for
        assert whole.control_ranks is not None  # noqa: S101  there was a control
        base, asked = np.array(whole.base_ranks), np.array(whole.control_ranks)
        fused = np.arange(len(base))
        self._metrics.quality.order_correlation(
            fused_base=kendall_tau(fused, base),
            fused_request=kendall_tau(fused, asked),
            base_request=kendall_tau(base, asked),
            overlap=figures.overlap,
        )


def _control(candidates: CandidateList, steering: Steering) -> str | tuple[str, str]:
    """What one control is known by. A list's own request has the list's id, but comes again with the next list."""
    return steering.request_id if candidates.request is None else (candidates.user_id, candidates.request)
