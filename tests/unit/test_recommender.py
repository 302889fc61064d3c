import pytest

from ranker.errors import DataError
from ranker.recommender import Recommender
from tests.unit.small_data import small_dataset


def test_the_same_seed_gives_the_same_scores() -> None:
    dataset = small_dataset()
    first, second = (Recommender.fit(dataset, factors=8, seed=3).candidates("u1", 50) for _ in range(2))
    assert first == second


def test_candidates_are_unseen_distinct_and_best_first() -> None:
    dataset = small_dataset()
    ids, scores = Recommender.fit(dataset, factors=8).candidates("u1", 500)
    rows = dataset.interactions.item_rows[dataset.interactions.of_user("u1")]
    seen = {dataset.catalogue.items[row].item_id for row in rows}
    assert scores == sorted(scores, reverse=True)
    assert len(ids) == len(set(ids)) == len(dataset.catalogue) - len(seen)
    assert not seen & set(ids)


def test_seen_items_can_be_left_in_and_are_what_the_model_likes() -> None:
    dataset = small_dataset()
    recommender = Recommender.fit(dataset, factors=8)
    ids, _ = recommender.candidates("u1", 15, seen=True)
    rows = dataset.interactions.item_rows[dataset.interactions.of_user("u1")]
    seen = {dataset.catalogue.items[row].item_id for row in rows}
    assert len(seen & set(ids)) > 10


def test_what_is_held_out_can_be_recommended() -> None:
    dataset = small_dataset()
    last = dataset.interactions.hold_out_last(1)[1]
    held = dataset.catalogue.items[last.item_rows[last.of_user("u1")][0]].item_id
    assert held not in Recommender.fit(dataset, factors=8).candidates("u1", 500)[0]
    assert held in Recommender.fit(dataset, factors=8, hold_out=1).candidates("u1", 500)[0]


def test_an_unknown_user_and_an_empty_history_are_refused() -> None:
    dataset = small_dataset()
    with pytest.raises(DataError, match="'stranger'"):
        Recommender.fit(dataset, factors=8).candidates("stranger", 5)
    with pytest.raises(DataError, match="no interactions"):
        Recommender.fit(dataset, hold_out=100)
