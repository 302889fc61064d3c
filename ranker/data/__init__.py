"""Catalogues and interactions from files: MovieLens in its layouts, and a platform's own tables."""

from ranker.data.dataset import Dataset, Interactions
from ranker.data.layouts import load_dataset

__all__ = ["Dataset", "Interactions", "load_dataset"]
