"""Which items each request is asked about, and which sides users and items are on."""

import msgspec
import numpy as np
import pytest

from ranker.judges import RuleJudge
from ranker.requests import CATEGORIES, Grammar
from ranker.synthesis.draw import Draws
from ranker.synthesis.plan import Plan, phrasing_of
from tests.unit.small_data import small_dataset

DATASET = small_dataset()
PLAN = Plan(judge="rule", seed=3, triples=400, catalogue=DATASET.catalogue.digest())


def draws(plan: Plan = PLAN) -> Draws:
    return Draws(plan, DATASET, Grammar(DATASET.catalogue), RuleJudge(DATASET.catalogue))


def test_positives_and_hard_negatives_are_balanced_request_by_request() -> None:
    judge = RuleJudge(DATASET.catalogue)
    drawn = draws().group(0)
    assert sum(len(one.why) for one in drawn) >= PLAN.group
    assert {one.question.request.category for one in drawn} == set(CATEGORIES)
    for one in drawn:
        why = np.array(one.why)
        (scores,) = judge.judge([one.question])
        assert len(set(one.question.rows.tolist())) == len(why)
        assert 0 < (why == "positive").sum() == (why == "hard negative").sum() <= PLAN.positives
        assert (scores[why == "positive"] >= 0.5).all()
        assert (scores[why == "hard negative"] < 0.5).all()


def test_hard_negatives_are_near_what_the_request_talks_about() -> None:
    """By the judge's own fits of what is spoken of, wanted or refused: much nearer than items at random."""
    judge = RuleJudge(DATASET.catalogue)
    near, anywhere = [], []
    for one in [one for group in range(3) for one in draws().group(group)]:
        spec, taste = one.question.request.spec, one.question.taste
        if one.question.request.category not in ("exclusion", "topic_without", "topic_era", "blend"):
            continue
        spoken_of = np.max([judge.fit(fact, taste) for fact in (*spec.wanted, *spec.refused)], axis=0)
        rows, why = one.question.rows, np.array(one.why)
        other = judge.scores(spec, taste) < 0.5
        near.append(spoken_of[rows[why == "hard negative"]].mean())
        anywhere.append(spoken_of[other].mean())
        if one.question.request.category == "exclusion" and not one.question.request.spec.about_user:
            assert (spoken_of[rows[why == "hard negative"]] >= 0.5).all()
    assert np.mean(near) > np.mean(anywhere) + 0.15


def test_a_group_depends_on_its_number_and_the_seed_alone() -> None:
    def told(plan: Plan, group: int) -> list[tuple[str, str, list[int]]]:
        return [
            (one.user_id, one.question.request.text, one.question.rows.tolist()) for one in draws(plan).group(group)
        ]

    assert told(PLAN, 1) == told(PLAN, 1)
    assert told(PLAN, 1) != told(PLAN, 0)
    assert told(PLAN, 0) != told(msgspec.structs.replace(PLAN, seed=4), 0)


def test_splits_go_by_the_id_and_keep_their_shares() -> None:
    names = [str(number) for number in range(5000)]
    for kind, share in (("item", 0.2), ("user", 0.1)):
        held = [PLAN.side(kind, name) == "heldout" for name in names]  # type: ignore[arg-type]
        assert np.mean(held) == pytest.approx(share, abs=0.02)
    assert [PLAN.side("item", name) for name in names] != [PLAN.side("user", name) for name in names]
    written = [phrasing_of(name) for name in names]
    assert written.count("dev") / 5000 == pytest.approx(0.1, abs=0.02)
    assert written.count("train") / 5000 == pytest.approx(0.8, abs=0.02)
