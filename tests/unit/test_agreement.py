from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy.stats import spearmanr
from typer.testing import CliRunner

from ranker.cli import app
from ranker.errors import ConfigError
from ranker.evaluate import auc
from ranker.judges import Question, RuleJudge
from ranker.judges.agreement import Agreement, compare, figures, sample
from ranker.judges.compose import Scores
from ranker.requests import CATEGORIES, Grammar
from tests.unit.small_data import small_dataset

DATASET = small_dataset()
RULE = RuleJudge(DATASET.catalogue)


class Contrary:
    """Says the opposite of the rule judge, and nothing of the first item."""

    name = "contrary"

    def judge(self, questions: Sequence[Question]) -> list[Scores]:
        opposite = [1 - scores for scores in RULE.judge(questions)]
        for scores in opposite:
            scores[0] = np.nan
        return opposite


def questions() -> list[Question]:
    return sample(DATASET, Grammar(DATASET.catalogue), RULE, 5, 20, "heldout", 0)


def test_a_judge_agrees_with_itself_and_not_with_its_opposite() -> None:
    asked = questions()
    agreement = compare([RULE, RULE, Contrary()], asked, "heldout", 0)
    same, opposite, _ = agreement.comparisons
    assert set(same.categories) == set(CATEGORIES)
    assert (same.overall.mse, same.overall.auc, same.unscored) == (0, 1, 0)
    assert same.overall.spearman == pytest.approx(1)
    assert opposite.overall.auc == pytest.approx(0)
    assert opposite.overall.spearman == pytest.approx(-1)
    assert opposite.unscored == len(asked)
    assert "contrary against rule" in agreement.markdown()


def test_the_figures_are_the_usual_ones() -> None:
    left = np.array([1, 0.8, 0.4, 0.1, 0], dtype=np.float32)
    right = np.array([0.9, 0.2, 0.3, 0.3, 0.1], dtype=np.float32)
    found = figures([(left, right), (left, left)])
    assert found.spearman == pytest.approx((spearmanr(left, right).statistic + 1) / 2)
    assert found.auc == pytest.approx((auc(right, left >= 0.5) + 1) / 2)
    assert found.mse == pytest.approx(float(np.mean((left - right) ** 2)) / 2)
    assert found.interval is not None
    assert found.interval[0] <= (found.auc or 0) <= found.interval[1]
    flat = figures([(np.zeros(4, dtype=np.float32), np.zeros(4, dtype=np.float32))])
    assert (flat.spearman, flat.auc, flat.interval, flat.mse) == (None, None, None, 0)


def test_half_of_a_requests_items_fit_where_enough_do() -> None:
    for asked in questions():
        fits = RULE.scores(asked.request.spec, asked.taste) >= 0.5
        assert len(set(asked.rows.tolist())) == 20
        assert fits[asked.rows].sum() >= min(10, fits.sum())


def test_judges_must_be_known_and_two() -> None:
    for wrong in (["rule"], ["rule", "rule"], ["rule", "oracle"]):
        with pytest.raises(ConfigError, match="name two or three"):
            CliRunner().invoke(app, ["compare-judges", *wrong], catch_exceptions=False)


def test_the_report_is_json_and_markdown(tmp_path: Path) -> None:
    agreement = compare([RULE, RULE], questions(), "heldout", 0)
    path = tmp_path / "a.json"
    path.write_bytes(msgspec.json.encode(agreement))
    assert msgspec.json.decode(path.read_bytes(), type=Agreement) == agreement
    assert agreement.markdown().count("| topic |") == 1
