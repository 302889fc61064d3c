"""The language model as judge and writer, against a real endpoint: every score its own, and paid once."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import pytest

from ranker.errors import ConfigError, DataError
from ranker.judges.llm import LlmJudge, LlmSettings, LlmWriter
from ranker.judges.llm.store import AnswerStore
from ranker.requests import CATEGORIES, Grammar
from tests.chatserver import ChatServer
from tests.unit.judging import CATALOGUE, expected, judge, questions, settings


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer().serve() as made:
        yield made


def test_every_score_is_the_models_own_and_paid_once(server: ChatServer, tmp_path: Path) -> None:
    asked = questions(10)
    scores, _, _ = judge(server, tmp_path, asked)
    np.testing.assert_allclose(scores, expected(asked), atol=1e-6)
    assert set(server.billed.values()) == {1}
    assert len(server.billed) == 120
    # Known from now on: another run asks for nothing.
    calls = len(server.calls)
    again, _, card = judge(server, tmp_path, asked)
    np.testing.assert_array_equal(again, scores)
    assert len(server.calls) == calls
    assert card.from_cache == 120


def test_the_prompt_has_the_request_the_taste_and_a_schema(server: ChatServer, tmp_path: Path) -> None:
    judge(server, tmp_path, questions(1, items=2))
    (call,) = server.calls
    content = msgspec.json.decode(call["messages"][1]["content"])
    assert content["reader"] == "usually watches war and drama"
    assert [item["item"] for item in content["items"]] == [1, 2]
    assert call["response_format"]["json_schema"]["strict"] is True
    assert "temperature" not in call


def test_two_runs_cannot_share_a_cache(tmp_path: Path) -> None:
    first = AnswerStore(tmp_path / "x.sqlite")
    with pytest.raises(ConfigError, match="in use by another run"):
        AnswerStore(tmp_path / "x.sqlite")
    first.close()
    AnswerStore(tmp_path / "x.sqlite").close()
    (tmp_path / "y.sqlite").write_text("no database, but long enough to be taken for one" * 40)
    with pytest.raises(DataError, match=r"y\.sqlite"):
        AnswerStore(tmp_path / "y.sqlite")


def test_the_estimate_is_what_then_happens(server: ChatServer, tmp_path: Path) -> None:
    asked = questions(4)
    chosen = settings(server.url, tmp_path, price_in=1.0, price_out=2.0)
    store = AnswerStore(chosen.cache)
    judging = LlmJudge(CATALOGUE, chosen, store)
    before = judging.estimate(asked)
    judging.judge(asked)
    assert before.calls == len(server.calls) == 12
    assert (before.items, before.cached) == (48, 0)
    assert before.cost == pytest.approx((before.tokens_in + 2 * before.tokens_out) / 1e6)
    assert judging.card().cost == pytest.approx((1200 + 2 * 120) / 1e6)
    after = judging.estimate(asked)
    assert (after.calls, after.cached, after.tokens_in, after.cost) == (0, 48, 0, 0)
    assert after.timed
    store.close()
    store = AnswerStore(tmp_path / "other.sqlite")
    free = LlmJudge(CATALOGUE, settings("http://x", tmp_path), store)
    assert free.estimate(asked).cost is None
    assert "unknown" in free.estimate(asked).text()
    assert "unknown" in free.card().markdown()
    store.close()


def test_the_writer_writes_in_every_category(server: ChatServer, tmp_path: Path) -> None:
    server.script = lambda number, _: "truncated" if number < 4 else "wrong count" if number < 8 else None
    chosen = settings(server.url, tmp_path)
    store, grammar, random = AnswerStore(chosen.cache), Grammar(CATALOGUE), Random(4)
    requests = [grammar.draw(category, "train", random) for category in CATEGORIES for _ in range(3)]
    writer = LlmWriter(chosen, store, count=3)
    assert writer.estimate(requests).items == len({request.text for request in requests})
    written = writer.write(requests)
    for request, others in zip(requests, written, strict=True):
        assert [other.text for other in others] == [f"{request.text} in way {way}" for way in range(3)]
        assert all((other.category, other.spec) == (request.category, request.spec) for other in others)
    assert set(server.billed.values()) == {1}
    calls = len(server.calls)
    assert writer.write(requests) == written
    assert len(server.calls) == calls
    assert writer.card().unanswered == []
    store.close()


def test_settings_come_from_the_environment_and_keep_the_key_to_themselves() -> None:
    given = {
        "CTRLREC_LLM_URL": "http://x/v1",
        "CTRLREC_LLM_MODEL": "m",
        "CTRLREC_LLM_KEY": "canary",
        "CTRLREC_BUNDLE": "b",
    }
    chosen = LlmSettings.from_environment(given | {"CTRLREC_LLM_CONCURRENCY": "3"})
    assert (chosen.url, chosen.concurrency) == ("http://x/v1", 3)
    assert "canary" not in repr(chosen)
    for wrong, named in (
        ({"CTRLREC_LLM_CONCURRENCY": "0"}, "CTRLREC_LLM_CONCURRENCY"),
        ({"CTRLREC_LLM_URL": "ftp://x"}, "CTRLREC_LLM_URL"),
        ({"CTRLREC_LLM_MODEL": ""}, "CTRLREC_LLM_MODEL is not set"),
        ({"CTRLREC_LLM_SPEED": "9"}, "CTRLREC_LLM_SPEED is no setting"),
    ):
        with pytest.raises(ConfigError, match=named):
            LlmSettings.from_environment(given | wrong)
