"""Where the items should lie: one large judgment matrix, factorised, and turned so that it lies nearest to the backbone.

Both towers learning at once chase each other, and that is what fine-tuning spends most of its steps on. The judge's
scores of all items under a few thousand requests have a low rank (genres, decades, popularity, acclaim), so the item side has
a closed form: after it, the item tower has fixed targets, and the request tower fixed item vectors.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RANK = 48
"""Directions kept. MovieLens has about forty facts; what comes after is the shape of the sample."""
SHARE = 0.9
"""Of an item's unit length, what the judged directions may take at most; the rest stays with the backbone's own meaning."""


class Targets(NamedTuple):
    """Where items should lie, and the directions in which what is judged of them lies."""

    vectors: NDArray[np.float32]
    """(n, d) of unit length."""
    rotation: NDArray[np.float32]
    """(k, d) orthonormal rows."""


def item_targets(
    judged: NDArray[np.float32], backbone: NDArray[np.float32], rank: int = RANK, share: float = SHARE
) -> Targets:
    """Unit vectors whose dot products can order n items as the judge does under each of m requests.

    With J (m, n) the scores, each request's centred and of unit length, the eigenvectors W and eigenvalues λ of JᵀJ give
    F = W λ^¼: the square root of the singular values, so that what is rarely asked keeps a voice. F is mapped into the
    backbone's space by the rotation Q that brings it nearest to the backbone's own vectors Z (n, d) (orthogonal
    Procrustes: Q = U Vᵀ of the decomposition of Fᵀ Z), and what is left of each unit length is filled with the part of Z
    that Q does not reach, so that titles keep the meaning they had.
    """
    centred = judged - judged.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    centred = centred / np.where(lengths > 1e-6, lengths, np.inf)
    factors = _leading_factors(centred, min(rank, *judged.shape, backbone.shape[1] - 1))  # (n, k)
    left, _, right = np.linalg.svd(factors.T @ (backbone - backbone.mean(axis=0)), full_matrices=False)
    rotation = left @ right  # (k, k) @ (k, d) -> (k, d), orthonormal rows

    sizes = np.linalg.norm(factors, axis=1, keepdims=True)
    # A few items fit everything; without the quantile they would set the scale for all others.
    limit = max(float(np.quantile(sizes, 0.95)), 1e-9)
    factors = share * factors / np.maximum(sizes, limit)
    filled = 1 - (factors**2).sum(axis=1, keepdims=True)
    rotation = np.asarray(rotation, dtype=np.float32)
    rest = backbone - (backbone @ rotation.T) @ rotation
    rest = rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-9)
    targets = factors @ rotation + np.sqrt(filled) * rest  # two orthogonal parts of a unit vector
    vectors = targets / np.linalg.norm(targets, axis=1, keepdims=True)
    return Targets(np.asarray(vectors, dtype=np.float32), rotation)


def _leading_factors(centred: NDArray[np.float32], rank: int) -> NDArray[np.float32]:
    """(n, k) eigenvectors of JᵀJ times the fourth root of their eigenvalues, through whichever side is smaller."""
    requests, items = centred.shape
    if items <= requests:
        values, vectors = np.linalg.eigh(centred.T @ centred)
        values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    else:
        values, left = np.linalg.eigh(centred @ centred.T)
        values, left = values[::-1][:rank], left[:, ::-1][:, :rank]
        vectors = centred.T @ left / np.sqrt(np.maximum(values, 1e-9))
    return np.asarray(vectors * np.maximum(values, 0) ** 0.25, dtype=np.float32)
