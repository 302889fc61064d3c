"""Requests in a file, and the words of an open vocabulary."""

from pathlib import Path
from random import Random

import pytest

from ranker.errors import DataError
from ranker.requests import CATEGORIES, Grammar
from ranker.requests.spec import Words
from ranker.requests.vocabulary import catalogue_words, read_words
from ranker.requests.written import read_requests, write_requests
from tests.unit.small_data import small_dataset

DATASET = small_dataset()


def test_requests_come_back_as_they_were_written(tmp_path: Path) -> None:
    grammar, random = Grammar(DATASET.catalogue, ["pirates", "chess"]), Random(5)
    requests = [grammar.draw(category, "train", random) for category in CATEGORIES for _ in range(20)]
    distinct = list({request.text: request for request in requests}.values())
    assert any(isinstance(fact, Words) for request in distinct for fact in request.spec.wanted)
    assert write_requests(tmp_path / "r.jsonl", requests) == len(distinct)
    assert read_requests(tmp_path / "r.jsonl") == distinct
    for wrong in (
        '{"category": "none", "text": "x"}',
        '{"category": "topic", "text": "x", "wanted": [{"Colour": {}}]}',
    ):
        (tmp_path / "bad.jsonl").write_text(wrong)
        with pytest.raises(DataError, match=r"bad\.jsonl: line 1"):
            read_requests(tmp_path / "bad.jsonl")
    (tmp_path / "bad.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no requests"):
        read_requests(tmp_path / "bad.jsonl")


def test_the_open_vocabulary_is_the_catalogues_own_words_or_a_file(tmp_path: Path) -> None:
    from ranker.catalogue import Catalogue, Item

    titles = ("The Pirates of the Xyzzyq", "With Chess", "Pirates again")
    words = catalogue_words(Catalogue(tuple(Item(str(row), title) for row, title in enumerate(titles))))
    assert words == ["chess", "pirates"]
    path = tmp_path / "words.txt"
    path.write_text("old  maps\n\nchess\nold maps\n")
    assert read_words(path) == ["old maps", "chess"]
    path.write_text("one\n")
    with pytest.raises(DataError, match="at least two"):
        read_words(path)
    path.write_text("a {x}\nb\n")
    with pytest.raises(DataError, match="brace"):
        read_words(path)
