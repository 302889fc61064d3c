"""Feeds as serving makes them: the recommender's candidates, a control, and the ranking function of the worker."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranker.catalogue import Catalogue
from ranker.errors import BadEvent
from ranker.events import CandidateList
from ranker.experiments.profiles import Rows
from ranker.experiments.subject import Subject
from ranker.fusion import FUSIONS, Method, control_ranks
from ranker.ragged import Spans
from ranker.rank import TOGETHER, rank_run
from ranker.recommender import Recommender
from ranker.run import Asked, Steering
from ranker.vectors import Quantized

WHOLE = 1 << 30


class Pool(NamedTuple):
    """What the base recommender offers one user, best first: everything that they have not rated, unless cut short."""

    user: str
    ids: list[str]
    scores: list[float]
    rows: Rows
    """Rows of the catalogue."""


def pool_of(recommender: Recommender, catalogue: Catalogue, user: str, size: int = WHOLE) -> Pool:
    """At most `size` candidates. Raises DataError for an unknown user."""
    ids, scores = recommender.candidates(user, size)
    return Pool(user, ids, scores, np.array([catalogue.row_of[item_id] for item_id in ids], np.intp))


def steered(
    subject: Subject, pool: Pool, wishes: Sequence[Quantized], weights: Sequence[float], method: Method, top: int
) -> list[Rows]:
    """What the worker would show for each wish at its weight: the first `top` rows of the catalogue."""
    model, row_of = subject.bundle.model(0.0, method), subject.dataset.catalogue.row_of
    asked = [
        Asked(
            CandidateList(
                event_id=str(place), user_id=pool.user, item_ids=pool.ids, base_scores=pool.scores, created_at=0.0, top_k=top
            ),
            Steering("", model.bundle, wish.floats(), wish.scale, weight, None),
        )
        for place, (wish, weight) in enumerate(zip(wishes, weights, strict=True))
    ]  # fmt: skip
    shown = []
    for start in range(0, len(asked), TOGETHER):
        for answer in rank_run(asked[start : start + TOGETHER], model):
            if isinstance(answer, BadEvent):
                raise answer
            shown.append(np.array([row_of[item_id] for item_id in answer.item_ids], np.intp))
    return shown


def judged_feed(pool: Pool, judged: NDArray[np.float32], weight: float, method: Method, top: int) -> Rows:
    """The same with a judge's scores (n,) of the catalogue in place of the towers'."""
    spans, opinion = Spans([len(pool.rows)]), judged[pool.rows]
    ranks = control_ranks(spans.descending(opinion), None, spans)
    order = FUSIONS[method](np.array(pool.scores), opinion, ranks, [weight], spans)
    return pool.rows[order[:top]]
