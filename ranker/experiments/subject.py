"""What is measured: a bundle, as serving loads it, on the catalogue that it was made for."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ranker.bundle import Bundle
from ranker.data import Dataset, load_dataset
from ranker.errors import DataError
from ranker.evaluate import split_users
from ranker.vectors import Quantized, quantize_request

Doubles = NDArray[np.float64]
Advance = Callable[[float], object]
"""Is told which share of a stage is done, 0 to 1."""


class TrainedOn(msgspec.Struct, frozen=True):
    """What the training's record, which the bundle carries, says was kept from it."""

    seed: int = 0
    users_held_out: list[str] = msgspec.field(default_factory=list)
    items_held_out: list[str] = msgspec.field(default_factory=list)
    without: list[str] = msgspec.field(default_factory=list)
    """Categories of requests that were never trained on."""


def trained_on(bundle: Bundle) -> TrainedOn:
    """What the bundle's record says. Raises DataError where it cannot be read."""
    try:
        return msgspec.convert(bundle.manifest.training, TrainedOn)
    except msgspec.ValidationError as error:
        raise DataError(f"the bundle's training record cannot be read: {error}") from error


class Subject:
    """A bundle and the data set that it is measured on."""

    def __init__(self, bundle: Bundle, dataset: Dataset) -> None:
        """Raises DataError where the bundle lacks items of the catalogue or its training record cannot be read."""
        self.bundle, self.dataset = bundle, dataset
        self.rows = bundle.items.rows([item.item_id for item in dataset.catalogue.items])
        if missing := int((self.rows < 0).sum()):
            raise DataError(
                f"the bundle has no vectors for {missing} of {len(self.rows)} items of the data set;"
                " `ctrlrec export` makes one of this catalogue"
            )
        self.trained = trained_on(bundle)

    @classmethod
    def load(cls, bundle: Path, data: Path) -> "Subject":
        """Raises BundleError or DataError where one of the two cannot be read, or they do not belong together."""
        return cls(Bundle.load(bundle), load_dataset(data))

    def users(self, count: int, seed: int) -> tuple[list[str], list[str]]:
        """(held out, trained with), at most `count` of each, by chance.

        A bundle whose record names none, since it was not trained on this data set, has all users held out.
        """
        known = self.dataset.interactions.user_row_of
        held = [user for user in self.trained.users_held_out if user in known] or list(known)
        seen = sorted(known.keys() - set(held))
        chosen = []
        for group in (held, seen):
            share = min(1.0, count / max(1, len(group)))
            chosen.append(sorted(group) if share == 1 else split_users(group, seed, share)[1])
        return chosen[0], chosen[1]

    def quantized(self, texts: Sequence[str], advance: Advance = lambda _: None) -> list[Quantized]:
        """What each text steers with, exactly as the worker has it."""
        distinct = list(dict.fromkeys(texts))
        vectors = self.bundle.request_tower.embed_all(distinct, lambda done: advance(done / len(distinct)), workers=2)
        made = dict(zip(distinct, map(quantize_request, vectors), strict=True))
        return [made[text] for text in texts]

    def cosines(self, texts: Sequence[str], advance: Advance = lambda _: None) -> NDArray[np.float32]:
        """(m, n) float32, a row a text, columns as in the catalogue."""
        return np.stack(
            [
                self.bundle.items.scores(self.rows, vector.floats()) * np.float32(vector.scale)
                for vector in self.quantized(texts, advance)
            ]
        )

    def alignment(self, cosines: NDArray[np.float32]) -> Doubles:
        """Calibrated cosines, of any shape: 1 / (1 + exp(-(slope · cosine + intercept)))."""
        calibration = self.bundle.calibration
        aligned: Doubles = 1 / (1 + np.exp(-(calibration.slope * cosines.astype(np.float64) + calibration.intercept)))
        return aligned
