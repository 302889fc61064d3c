"""What a user usually watches, from their history: three genres, and the sentence that says so to the request tower."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # what reads it is not in a worker's image
    from ranker.data.dataset import Dataset

GENRES_KEPT = 3


@dataclass(frozen=True, slots=True)
class Taste:
    """The genres that set a user apart, strongest first; empty for a user without a history."""

    genres: tuple[str, ...] = ()

    def text(self) -> str | None:
        """The context of a ControlRequest; None where nothing is known."""
        if not self.genres:
            return None
        *first, last = (genre.lower() for genre in self.genres)
        return "usually watches " + (f"{', '.join(first)} and {last}" if first else last)


def user_taste(dataset: "Dataset", user_id: str) -> Taste:
    """The taste of one user. Raises DataError for a user without interactions.

    A genre counts by its share among what the user rated at least as high as their own mean, times the square root of how
    much more often it occurs there than in the catalogue: without the root all users would like drama, with the full
    ratio all would like whatever is rarest.
    """
    catalogue, interactions = dataset.catalogue, dataset.interactions
    span = interactions.of_user(user_id)
    rows, ratings = interactions.item_rows[span], interactions.ratings[span]
    liked = rows[ratings >= ratings.mean()] if len(rows) else rows
    if not len(liked) or not catalogue.genres:
        return Taste()
    shares: NDArray[np.float64] = catalogue.genre_matrix[liked].mean(axis=0)  # (n, genres) -> (genres,)
    usual: NDArray[np.float64] = catalogue.genre_matrix.mean(axis=0)
    strength = shares * np.sqrt(shares / np.maximum(usual, 1e-9))
    best = np.argsort(-strength, kind="stable")[:GENRES_KEPT]
    return Taste(tuple(catalogue.genres[column] for column in best if strength[column] > 0))
