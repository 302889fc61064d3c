"""A run of the language model's judge, with the endpoint of tests.chatserver."""

from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np

from ranker.catalogue import item_text
from ranker.judges import Question
from ranker.judges.compose import Scores
from ranker.judges.llm import LlmJudge, LlmSettings
from ranker.judges.llm.card import Card
from ranker.judges.llm.store import AnswerStore
from ranker.requests import CATEGORIES, Grammar
from ranker.taste import Taste
from tests.chatserver import ChatServer, score_of
from tests.unit.small_data import small_dataset

CATALOGUE = small_dataset().catalogue
TASTE = Taste(("War", "Drama"))


def questions(count: int, items: int = 12) -> list[Question]:
    """Requests of all categories, about items drawn at random; distinct texts."""
    random, grammar = Random(1), Grammar(CATALOGUE)
    found: dict[str, Question] = {}
    while len(found) < count:
        request = grammar.draw(CATEGORIES[len(found) % len(CATEGORIES)], "train", random)
        rows = np.array(random.sample(range(len(CATALOGUE)), items))
        found.setdefault(request.text, Question(request, TASTE, rows))
    return list(found.values())


def settings(url: str, tmp_path: Path, **changes: Any) -> LlmSettings:
    fast: dict[str, Any] = {"items_per_prompt": 5, "backoff": 0.01, "requests_per_minute": 1e6, "timeout": 5.0}
    return LlmSettings(url=url, model="m", cache=tmp_path / "llm.sqlite", **(fast | changes))


def expected(asked: list[Question]) -> list[list[float]]:
    return [[score_of(item_text(CATALOGUE.items[row])) for row in question.rows] for question in asked]


class Judged(NamedTuple):
    scores: list[Scores]
    unscored: dict[tuple[str, str], str]
    card: Card


def judge(server: ChatServer, tmp_path: Path, asked: list[Question], **changes: Any) -> Judged:
    chosen = settings(server.url, tmp_path, **changes)
    store = AnswerStore(chosen.cache)
    try:
        judging = LlmJudge(CATALOGUE, chosen, store)
        return Judged(judging.judge(asked), judging.unscored, judging.card())
    finally:
        store.close()
