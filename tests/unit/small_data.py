"""Small data sets that the tests of the data layer, the judge and the grammar share; written, never downloaded."""

from random import Random

import numpy as np

from ranker.catalogue import RawItem
from ranker.data import Dataset
from ranker.data.dataset import build_dataset

GENRES = ("Drama", "Comedy", "Horror", "War", "Western")


def small_dataset(items: int = 80, users: int = 12, seed: int = 1) -> Dataset:
    """Items of one or two genres from 1930 to 1999; each user rates 15 of them, liking one genre above the others."""
    random = Random(seed)
    raw = [
        RawItem(
            str(number), f"Title {number}", 1930 + number * 69 // items, tuple(random.sample(GENRES, 1 + number % 2))
        )
        for number in range(items)
    ]
    rows = []
    for user in range(users):
        loved = GENRES[user % len(GENRES)]
        for time, item in enumerate(random.sample(raw, 15)):
            rows.append((f"u{user}", item.item_id, 5.0 if loved in item.genres else 2.0, time))
    user_ids, item_ids, ratings, times = zip(*rows, strict=True)
    return build_dataset(
        raw,
        np.array(user_ids),
        np.array(item_ids),
        np.array(ratings, dtype=np.float32),
        np.array(times, dtype=np.int64),
        "small",
    )
