"""The base recommender: what a platform's own engagement model would say, here alternating least squares over the ratings.

Hu, Koren and Volinsky 2008, as `implicit` implements it: a rating is the confidence in a preference, r stars weigh r.
"""

import numpy as np
from implicit.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ranker.catalogue import Catalogue
from ranker.data.dataset import Dataset, Interactions
from ranker.errors import DataError


class Recommender:
    """Fitted to a data set; gives each of its users candidates, best first. The same data and seed give the same scores."""

    def __init__(
        self,
        catalogue: Catalogue,
        interactions: Interactions,
        user_factors: NDArray[np.float32],
        item_factors: NDArray[np.float32],
    ) -> None:
        """`user_factors` (users, k) and `item_factors` (n, k), rows as in `interactions.user_ids` and the catalogue."""
        self._catalogue, self._interactions = catalogue, interactions
        self._users, self._items = user_factors, item_factors

    @classmethod
    def fit(
        cls,
        dataset: Dataset,
        *,
        factors: int = 64,
        iterations: int = 15,
        regularization: float = 0.05,
        seed: int = 0,
        hold_out: int = 0,
    ) -> "Recommender":
        """Fit to all interactions but each user's `hold_out` latest, which then count as not yet seen.

        Raises DataError where nothing is left to fit to.
        """
        catalogue = dataset.catalogue
        interactions = dataset.interactions.hold_out_last(hold_out)[0] if hold_out else dataset.interactions
        if not len(interactions):
            raise DataError("the recommender has no interactions to fit to")
        shape = (len(interactions.user_ids), len(catalogue))
        ratings = csr_matrix((interactions.ratings, (interactions.user_rows, interactions.item_rows)), shape=shape)
        # BLAS threads under implicit's own only get into each other's way, and implicit warns of them.
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=factors,
                iterations=iterations,
                regularization=regularization,
                random_state=seed,
                num_threads=1,  # sums of several threads come in any order, and with them the last bits
            )
            model.fit(ratings, show_progress=False)
        return cls(catalogue, interactions, np.asarray(model.user_factors), np.asarray(model.item_factors))

    def candidates(self, user_id: str, n: int, *, seen: bool = False) -> tuple[list[str], list[float]]:
        """The n best items for a user, best first, with their scores; fewer where the catalogue has fewer.

        `seen` leaves in what the user has already interacted with. Raises DataError for an unknown user.
        """
        span = self._interactions.of_user(user_id)
        scores = self._items @ self._users[self._interactions.user_row_of[user_id]]  # (n, k) @ (k,) -> (n,)
        order = np.argsort(-scores, kind="stable")
        if not seen:
            known = np.zeros(len(scores), dtype=np.bool_)
            known[self._interactions.item_rows[span]] = True
            order = order[~known[order]]
        best = order[: max(n, 0)]
        return [self._catalogue.items[row].item_id for row in best], [float(scores[row]) for row in best]
