"""A bundle without models: its towers make a vector out of a text's hash, so that a test needs no training."""

import hashlib
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from ranker.canaries import CanarySet
from ranker.familiarity import Familiarity, Projections
from ranker.fusion import Method
from ranker.rank import Model
from ranker.vectors import Floats, ItemVectors, quantize

DIMENSION = 16


class HashTower:
    """Equal texts give equal vectors, unlike texts or another salt unlike ones."""

    def __init__(self, salt: str = "") -> None:
        self._salt = salt
        self.calls: list[str] = []

    def embed(self, text: str) -> Floats:
        self.calls.append(text)
        seed = int.from_bytes(hashlib.sha256((self._salt + text).encode()).digest()[:8])
        vector = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
        return vector / np.linalg.norm(vector)


class SmallBundle:
    """`items` items named i0, i1, ..., each embedded from its name. Bundles of unlike salts have unlike vectors."""

    def __init__(self, items: int = 50, version: str = "small", salt: str = "") -> None:
        self.version, self.manifest, self.built_at = version, SimpleNamespace(name="small"), 5.0
        self.request_tower, self.item_tower = HashTower(salt), HashTower(salt)
        ids = [f"i{n}" for n in range(items)]
        rows = [quantize(HashTower(salt).embed(item_id)) for item_id in ids]
        values = np.stack([row.floats() for row in rows])
        self.familiarity: Callable[[str, Floats], Familiarity] | None = None
        self.item_places: Projections | None = None
        self.canaries: CanarySet | None = None
        self.items = ItemVectors(ids, values, np.array([row.scale for row in rows], np.float32))

    def model(self, weight: float = 0.5, fusion: Method = "rank") -> Model:
        return Model(self.version, self.items, 10.0, -2.0, weight, fusion)
