import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.evaluate import auc, cases, evaluate, report_table, split_users
from ranker.judges import RuleJudge
from ranker.requests import CATEGORIES, Grammar
from ranker.taste import user_taste
from tests.unit.small_data import small_dataset


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
def test_auc_counts_pairs(pairs: list[tuple[int, bool]]) -> None:
    good = [score for score, relevant in pairs if relevant]
    bad = [score for score, relevant in pairs if not relevant]
    if not good or not bad:
        return
    expected = sum((left > right) + (left == right) / 2 for left in good for right in bad) / (len(good) * len(bad))
    scores, relevant = zip(*pairs, strict=True)
    assert auc(np.array(scores, np.float32), np.array(relevant)) == pytest.approx(expected)


def test_users_are_split_by_seed() -> None:
    users = [str(number) for number in range(50)]
    train, held = split_users(users, seed=3)
    assert len(held) == 5
    assert sorted(train + held) == sorted(users)
    assert (train, held) == split_users(users[::-1], seed=3)
    assert held != split_users(users, seed=4)[1]


def test_an_oracle_scores_one_and_a_liar_nought() -> None:
    dataset = small_dataset()
    grammar, judge = Grammar(dataset.catalogue), RuleJudge(dataset.catalogue)
    tastes = [user_taste(dataset, user) for user in dataset.interactions.user_ids]
    measured = cases(grammar, judge, tastes, "heldout", 4, seed=1)
    relevant = np.stack([case.relevant for case in measured]).astype(np.float32)
    items = np.eye(len(dataset.catalogue), dtype=np.float32)
    report = evaluate(measured, "heldout", lambda texts: relevant, items)
    assert report.mean == 1
    assert report.requests == len(measured)
    assert set(report.auc) <= set(CATEGORIES)
    assert len(report.auc) >= 8
    liar = evaluate(measured, "heldout", lambda texts: -relevant, items)
    assert liar.mean == 0
    assert report_table(report, liar).row_count == len(report.auc) + 1


def test_cases_have_something_to_tell_apart() -> None:
    dataset = small_dataset()
    tastes = [user_taste(dataset, user) for user in dataset.interactions.user_ids]
    for case in cases(Grammar(dataset.catalogue), RuleJudge(dataset.catalogue), tastes, "dev", 5, seed=2):
        assert 3 <= case.relevant.sum() <= len(case.relevant) - 3
        assert (case.category != "taste") or "| reader usually watches" in case.text
