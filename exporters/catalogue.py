"""The vectors of the whole catalogue, made by the very graph and call that will make those of later items."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ranker.catalogue import Catalogue
from ranker.towers import Tower
from ranker.vectors import Floats, ItemVectors, quantize


def embed_catalogue(
    tower: Tower, catalogue: Catalogue, folder: Path, *, workers: int, progress: Callable[[int], object] | None = None
) -> Floats:
    """Write the item vectors of `catalogue` to `folder`; returns them unquantized, (n, d), in row order."""
    vectors = tower.embed_all(catalogue.texts(), progress, workers=workers)
    save(folder, [item.item_id for item in catalogue.items], vectors)
    return vectors


def save(folder: Path, ids: Sequence[str], vectors: Floats) -> None:
    """Quantize each of the vectors (n, d) by itself and write them."""
    ItemVectors.save(folder, ids, map(quantize, vectors))
