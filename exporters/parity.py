"""Is what will be served still what was trained? Measured as served: quantized, one text a call."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from msgspec import Struct
from msgspec.structs import asdict
from numpy.typing import NDArray

from ranker.errors import ParityError
from ranker.towers import Tower
from ranker.vectors import Floats, ItemVectors, quantize_request

MIN_MEAN_COSINE = 0.99
MIN_WORST_COSINE = 0.98
MIN_TOP_AGREEMENT = 0.92
TOP = 10
MOST_ITEMS = 2_000
"""Torch needs several milliseconds for an item; of a large catalogue a sample says as much."""


class Parity(Struct, frozen=True):
    """Cosines are between the served and the trained vector of the same text."""

    request_cosine_mean: float
    request_cosine_worst: float
    item_cosine_mean: float
    item_cosine_worst: float
    top_agreement: float
    """Share of the catalogue's ten best items, by trained towers, that the served ones have among their ten too."""

    def figures(self) -> dict[str, float]:
        """By name, to six digits."""
        return {name: round(value, 6) for name, value in asdict(self).items()}

    def check(self) -> None:
        """Raise ParityError naming every figure that is below its bound."""
        bounds = {
            "request_cosine_mean": MIN_MEAN_COSINE,
            "request_cosine_worst": MIN_WORST_COSINE,
            "item_cosine_mean": MIN_MEAN_COSINE,
            "item_cosine_worst": MIN_WORST_COSINE,
            "top_agreement": MIN_TOP_AGREEMENT,
        }
        figures = self.figures()
        # Not `<`: a figure that is no number is no parity either.
        short = [
            f"{name} is {figures[name]:.4f}, needs {least}"
            for name, least in bounds.items()
            if not figures[name] >= least
        ]
        if short:
            raise ParityError(f"the export differs too much from what was trained: {'; '.join(short)}")


def sample(items: int) -> NDArray[np.intp]:
    """The rows of the items to compare with, (n,), ascending: all of them, or `MOST_ITEMS` of a larger catalogue."""
    rows = np.random.default_rng(0).permutation(items)[:MOST_ITEMS]
    return np.sort(rows)


def compare(
    trained: tuple[Floats, Floats], served: tuple[Floats, Floats], items: ItemVectors, rows: NDArray[np.intp]
) -> Parity:
    """Compare request vectors (r, d) and item vectors (n, d), trained and served; the n are `rows` (n,) of `items`."""
    requests, catalogue = _cosines(trained[0], served[0]), _cosines(trained[1], served[1])
    return Parity(
        request_cosine_mean=float(requests.mean()),
        request_cosine_worst=float(requests.min()),
        item_cosine_mean=float(catalogue.mean()),
        item_cosine_worst=float(catalogue.min()),
        top_agreement=_top_agreement(trained, served[0], items, rows),
    )


def check_alone(tower: Tower, texts: Sequence[str], vectors: Floats) -> None:
    """Raise ParityError unless each text gets the same bytes again, in another order, two at a time."""
    rows = range(len(texts))[::-1]
    with ThreadPoolExecutor(2) as pool:
        for row, vector in zip(rows, pool.map(tower.embed, [texts[row] for row in rows]), strict=True):
            if vector.tobytes() != vectors[row].tobytes():
                raise ParityError(f"the vector of {texts[row]!r} depends on what is embedded beside it")


def _cosines(trained: Floats, served: Floats) -> Floats:
    """Cosine of each row with its counterpart, (n, d) and (n, d) -> (n,)."""
    lengths = np.linalg.norm(trained, axis=1) * np.linalg.norm(served, axis=1)
    cosines: Floats = np.einsum("nd,nd->n", trained, served) / lengths
    return cosines


def _top_agreement(
    trained: tuple[Floats, Floats], requests: Floats, items: ItemVectors, rows: NDArray[np.intp]
) -> float:
    top = min(TOP, len(rows))
    shared = 0
    for wanted, vector in zip(trained[0] @ trained[1].T, requests, strict=True):  # (r, n), (r, d)
        scores = items.scores(rows, quantize_request(vector).floats())  # (n,)
        shared += len(np.intersect1d(_best(wanted, top), _best(scores, top)))
    return shared / (top * len(requests))


def _best(scores: Floats, top: int) -> Sequence[int]:
    best: list[int] = np.argsort(-scores, kind="stable")[:top].tolist()
    return best
