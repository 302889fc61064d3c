"""The language model's endpoint misbehaves, or the run is killed: nothing lost, nothing paid twice."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest

from ranker.catalogue import item_text
from ranker.errors import JudgeError
from ranker.judges.llm import LlmJudge
from ranker.judges.llm.chat import retry_after
from ranker.judges.llm.store import AnswerStore
from tests.chatserver import ChatServer, Trouble, score_of
from tests.unit.judging import CATALOGUE, expected, judge, questions, settings


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer().serve() as made:
        yield made


@pytest.mark.parametrize(
    "trouble",
    ["429", "500", "hang", "broken", "half a body", "truncated", "wrong count", "out of range", "refusal", "not json"],
)
def test_one_trouble_at_a_time_costs_no_score(server: ChatServer, tmp_path: Path, trouble: Trouble) -> None:
    server.script = lambda number, _: trouble if number in range(0, 12, 3) else None
    asked = questions(5)
    scores, unscored, _ = judge(server, tmp_path, asked, timeout=0.3)
    assert server.troubles[trouble] > 0
    np.testing.assert_allclose(scores, expected(asked), atol=1e-6)
    assert set(server.billed.values()) == {1}
    assert unscored == {}


def test_all_troubles_at_once_lose_nothing_and_pay_nothing_twice(server: ChatServer, tmp_path: Path) -> None:
    troubles: list[Trouble] = [
        "429", "500", "hang", "broken", "half a body", "truncated", "wrong count", "out of range", "refusal", "not json",
    ]  # fmt: skip
    random = Random(2)
    server.script = lambda number, items: random.choice(troubles) if random.random() < 0.4 and number < 150 else None
    asked = questions(30)
    scores, unscored, card = judge(server, tmp_path, asked, timeout=0.3, attempts=50)
    assert set(server.troubles) == set(troubles)
    for row, (got, wanted) in enumerate(zip(scores, expected(asked), strict=True)):
        for column, (score, right) in enumerate(zip(got, wanted, strict=True)):
            item = CATALOGUE.items[asked[row].rows[column]].item_id
            assert np.isnan(score) == ((asked[row].request.text, item) in unscored)
            assert np.isnan(score) or score == np.float32(right)
    assert set(server.billed.values()) == {1}
    assert len(server.billed) + len(unscored) == 30 * 12
    assert (card.tokens_in, card.tokens_out) == (server.tokens_in, server.tokens_out)
    assert len(card.unanswered) == len(unscored)


def test_an_item_refused_even_alone_is_named_and_the_others_are_scored(server: ChatServer, tmp_path: Path) -> None:
    (asked,) = questions(1)
    bad = item_text(CATALOGUE.items[asked.rows[3]])
    server.script = lambda _, items: "refusal" if any(item["text"] == bad for item in items) else None
    (scores,), unscored, card = judge(server, tmp_path, [asked])
    assert np.flatnonzero(np.isnan(scores)).tolist() == [3]
    item_id = CATALOGUE.items[asked.rows[3]].item_id
    assert unscored == {(asked.request.text, item_id): "refused: I cannot help with that."}
    assert item_id in card.markdown()
    # It is not asked for again, until told so.
    calls = len(server.calls)
    (scores,), unscored, _ = judge(server, tmp_path, [asked])
    assert np.isnan(scores[3])
    assert len(unscored) == 1
    assert len(server.calls) == calls
    server.script = None
    store = AnswerStore(tmp_path / "llm.sqlite")
    assert store.forget_unanswered() == 1
    store.close()
    (scores,), _, _ = judge(server, tmp_path, [asked])
    assert scores[3] == np.float32(score_of(bad))
    assert set(server.billed.values()) == {1}


def test_retry_after_puts_all_calls_off(server: ChatServer, tmp_path: Path) -> None:
    server.script = lambda number, _: "429" if number == 0 else None
    judge(server, tmp_path, questions(4), concurrency=1)
    assert server.times[1] - server.times[0] >= 0.2


def test_never_more_calls_a_minute_than_allowed(server: ChatServer, tmp_path: Path) -> None:
    server.delay = 0.02
    judge(server, tmp_path, questions(6), concurrency=3, requests_per_minute=60 / 0.05)
    assert server.times[-1] - server.times[0] >= 0.05 * (len(server.times) - 1) * 0.95


def test_concurrency_is_bounded(server: ChatServer, tmp_path: Path) -> None:
    server.delay = 0.05
    judge(server, tmp_path, questions(8), concurrency=4)
    assert server.most_at_once == 4


def test_an_endpoint_that_keeps_failing_ends_the_run_and_keeps_what_was_answered(
    server: ChatServer, tmp_path: Path
) -> None:
    server.script = lambda number, _: "500" if number >= 6 else None
    asked = questions(10)
    with pytest.raises(JudgeError, match=r"attempts failed.*500.*running again goes on"):
        judge(server, tmp_path, asked, attempts=2)
    paid = server.billed.total()
    assert paid > 0
    server.script = None
    scores, _, card = judge(server, tmp_path, asked)
    np.testing.assert_allclose(scores, expected(asked), atol=1e-6)
    assert set(server.billed.values()) == {1}
    assert card.from_cache == paid


def test_a_wait_that_is_too_long_ends_the_run(server: ChatServer, tmp_path: Path) -> None:
    server.script = lambda *_: "429"
    with pytest.raises(JudgeError, match="asks to wait"):
        judge(server, tmp_path, questions(1), longest_wait=0.1)


def test_an_endpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path / "llm.sqlite")
    judging = LlmJudge(CATALOGUE, settings("http://127.0.0.1:9/v1", tmp_path, attempts=2), store)
    with pytest.raises(JudgeError, match=r"127.0.0.1:9.*connection"):
        judging.judge(questions(1))
    store.close()


RUN = """
import sys, msgspec
from pathlib import Path
from tests.unit.judging import CATALOGUE, questions, settings
from ranker.judges.llm import LlmJudge
from ranker.judges.llm.store import AnswerStore
chosen = settings(sys.argv[1], Path(sys.argv[2]), concurrency=4)
print(flush=True)
LlmJudge(CATALOGUE, chosen, AnswerStore(chosen.cache)).judge(questions(20))
"""


def test_killed_in_the_middle_it_goes_on_and_pays_nothing_twice(server: ChatServer, tmp_path: Path) -> None:
    """The endpoint keeps to Idempotency-Key, so that answers on their way at the kill are not billed again either."""
    random = Random(3)
    server.delay = 0.02
    server.script = lambda *_: random.choice(("truncated", "refusal")) if random.random() < 0.2 else None
    command = [sys.executable, "-W", "ignore", "-c", RUN, server.url, str(tmp_path)]
    for kills in range(1, 3):
        seen = len(server.calls)
        with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
            deadline = time.monotonic() + 200
            while len(server.calls) < seen + 10 * kills and running.poll() is None and time.monotonic() < deadline:
                time.sleep(0.002)
            os.kill(running.pid, signal.SIGKILL)
    kept = sqlite3.connect(tmp_path / "llm.sqlite").execute("SELECT count(*) FROM answers").fetchone()[0]
    assert 0 < kept < 20 * 12
    server.script = None
    asked = questions(20)
    scores, unscored, _ = judge(server, tmp_path, asked)
    assert unscored == {}
    np.testing.assert_allclose(scores, expected(asked), atol=1e-6)
    assert len(server.billed) == 20 * 12
    assert set(server.billed.values()) == {1}


@pytest.mark.parametrize(("value", "seconds"), [
    ("7", 7), ("0.5", 0.5), ("-3", 0), ("", 0), ("soon", 0), ("nan", 0), ("inf", 0),
    ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 21 Oct 2015 07:28:00 -0000", 0),
])  # fmt: skip
def test_retry_after(value: str, seconds: float) -> None:
    assert retry_after({"retry-after": value}) == seconds


def test_retry_after_a_date() -> None:
    assert retry_after({"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"}) > 1e6
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
