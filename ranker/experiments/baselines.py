"""What the towers are held against: the untouched backbone, and BM25 over the same texts. Both read what the towers read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ranker.experiments.subject import Advance

Scores = NDArray[np.float32]
TOGETHER = 128


def backbone_cosines(
    backbone: Path, requests: Sequence[str], items: Sequence[str], advance: Advance = lambda _: None
) -> Scores:
    """(m, n) cosines of a sentence encoder as it was published. Raises DataError where there is none in `backbone`."""
    from ranker.training.towers import Tower, quiet

    quiet()
    tower, texts = Tower.load(backbone).eval(), [*requests, *items]
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    vectors = np.empty((len(texts), tower.dimension), np.float32)
    for start in range(0, len(order), TOGETHER):
        rows = order[start : start + TOGETHER]
        vectors[rows] = tower.embed([texts[row] for row in rows])
        advance((start + len(rows)) / len(order))
    return vectors[: len(requests)] @ vectors[len(requests) :].T  # (m, d) @ (d, n) -> (m, n)


def bm25_scores(requests: Sequence[str], items: Sequence[str]) -> Scores:
    """(m, n) BM25 scores (Robertson and Zaragoza 2009; Lucene's variant, stop words left out), by `bm25s`.

    A request without a word that any item has scores 0 throughout.
    """
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(items), stopwords="en", show_progress=False), show_progress=False)
    words = bm25s.tokenize(list(requests), stopwords="en", return_ids=False, show_progress=False)
    scores = np.zeros((len(requests), len(items)), np.float32)
    for row, said in zip(scores, words, strict=True):
        if known := [word for word in said if word and word in index.vocab_dict]:
            row[:] = index.get_scores(known)
    return scores
