from pathlib import Path
from random import Random

import numpy as np
import pytest

from ranker.errors import DataError
from ranker.experiments import targets
from ranker.experiments.profiles import Facts
from ranker.experiments.targets import Filter, Offers, all_filters, all_requests, era_targets, passing, taste_targets
from ranker.experiments.written import read_written
from ranker.requests import Grammar
from tests.unit.small_data import small_dataset


def test_the_later_half_of_what_a_user_liked_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "FEWEST_LIKED", 1)
    dataset = small_dataset()
    for target in taste_targets(dataset, dataset.interactions.user_ids):
        span = dataset.interactions.of_user(target.name.removeprefix("user "))
        rows, ratings = dataset.interactions.item_rows[span], dataset.interactions.ratings[span]
        assert [*target.known, *target.held_out] == list(rows[ratings >= ratings.mean()])
        assert 0 <= len(target.known) - len(target.held_out) <= 1


def test_users_with_few_ratings_are_no_targets() -> None:
    dataset = small_dataset()
    assert taste_targets(dataset, dataset.interactions.user_ids) == []


def test_the_filters_are_all_combinations_and_let_through_what_they_say() -> None:
    catalogue = small_dataset().catalogue
    facts = Facts(catalogue)
    filters = all_filters(facts)
    assert len(filters) == len(set(filters)) == (len(catalogue.genres) + 1) * (len(facts.decades) + 1) - 1
    war, fifties = catalogue.genres.index("War"), facts.decades.index(1950)
    for row, passes in enumerate(passing(facts, Filter(war, fifties))):
        item = catalogue.items[row]
        assert passes == ("War" in item.genres and item.year is not None and 1950 <= item.year < 1960)
    assert passing(facts, Filter(None, fifties)).sum() == sum(
        1950 <= (item.year or 0) < 1960 for item in catalogue.items
    )


def test_what_is_tried_first_is_what_means_the_target_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "FEED", 3)
    dataset = small_dataset()
    facts, grammar = Facts(dataset.catalogue), Grammar(dataset.catalogue)
    filters = all_filters(facts)
    offers = Offers(facts, np.stack([passing(facts, each) for each in filters]))
    for target in era_targets(grammar, dataset, facts):
        first = filters[offers.nearest(target, 5)[0]]
        assert first.genre is not None
        assert first.decade is not None
        assert target.name == f"{dataset.catalogue.genres[first.genre]}, {facts.decades[first.decade]}s"


def test_every_request_of_the_writer_can_be_phrased() -> None:
    grammar = Grammar(small_dataset().catalogue)
    specs = all_requests(grammar)
    assert len(specs) == len(set(specs))
    assert all(grammar.phrased(spec, "heldout", Random(1)).strip() for spec in specs)


def test_a_file_of_requests_is_read_by_target(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text('{"target": "user 1", "text": "war films"}\n\n{"target": "user 2", "text": "x"}\n'
                    '{"target": "user 1", "text": "old ones"}\n')  # fmt: skip
    assert read_written(path) == {"user 1": ["war films", "old ones"], "user 2": ["x"]}
    for text, complaint in (
        ('{"target": "user 1", "text": "a"}\n{"target": 3}\n', "line 2"),
        ('{"target": "user 1", "text": " "}\n', "blank"),
        ("", "no requests"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=complaint):
            read_written(path)
    with pytest.raises(DataError, match=r"none\.jsonl"):
        read_written(tmp_path / "none.jsonl")
