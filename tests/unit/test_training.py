import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.errors import DataError
from ranker.evaluate import Case
from ranker.judges import RuleJudge
from ranker.requests import Grammar
from ranker.taste import user_taste
from tests.unit.small_data import small_dataset

torch = pytest.importorskip("torch")

from ranker.training.batches import Batches  # noqa: E402 - what follows needs torch
from ranker.training.budget import Budget  # noqa: E402
from ranker.training.calibration import calibrate  # noqa: E402
from ranker.training.loss import pairwise_logistic  # noqa: E402
from ranker.training.targets import item_targets  # noqa: E402
from ranker.training.towers import load_encoder, load_tokenizer, pad  # noqa: E402


def batches(seed: int = 5) -> Batches:
    dataset = small_dataset()
    tastes = [user_taste(dataset, user) for user in dataset.interactions.user_ids]
    return Batches(Grammar(dataset.catalogue), RuleJudge(dataset.catalogue), tastes, seed)


@settings(deadline=None, max_examples=30)  # a judge and a grammar are made for each example
@given(st.integers(1, 20), st.integers(4, 80), st.integers(0, 3), st.integers(0, 99))
def test_a_batch_is_a_matrix_of_distinct_items(requests: int, items: int, near: int, seed: int) -> None:
    batch = batches(seed).draw(requests, items, near)
    assert batch.judged.shape == (len(batch.texts), len(batch.rows)) == (requests, items)
    assert len(set(batch.rows.tolist())) == items
    assert ((batch.judged >= 0) & (batch.judged <= 1)).all()


def test_the_same_seed_draws_the_same_batches() -> None:
    first, second, other = batches(1), batches(1), batches(2)
    for _ in range(3):
        left, right = first.draw(8, 16), second.draw(8, 16)
        assert left.texts == right.texts
        assert left.rows.tolist() == right.rows.tolist()
    assert first.draw(8, 16).texts != other.draw(8, 16).texts


def test_short_wordings_can_come_first() -> None:
    short, any_length = (np.mean([len(text) for text in batches().draw(200, 8, shortest=n).texts]) for n in (7, 1))
    assert short < 0.8 * any_length


def test_only_requests_about_taste_always_come_with_one() -> None:
    texts = batches().draw(400, 8).texts
    told = ["| reader usually watches" in text for text in texts]
    assert 0.1 < np.mean(told) < 0.6


def test_the_loss_of_one_pair_in_closed_form() -> None:
    cosines, judged = torch.tensor([[0.3, 0.1]]), torch.tensor([[1.0, 0.5]])
    assert pairwise_logistic(cosines, judged, 10).item() == pytest.approx(math.log1p(math.exp(-2)))
    assert pairwise_logistic(cosines, judged.flip(1), 10).item() == pytest.approx(math.log1p(math.exp(2)))


def test_a_request_without_differences_costs_nothing() -> None:
    cosines = torch.tensor([[0.3, 0.1], [0.3, 0.1]], requires_grad=True)
    loss = pairwise_logistic(cosines, torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert cosines.grad is not None
    assert cosines.grad[0].tolist() == [0, 0]
    assert torch.isfinite(cosines.grad).all()


@given(st.integers(0, 1000))
def test_wish_and_refusal_are_the_same_problem(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    cosines, judged = torch.rand(3, 6, generator=generator), torch.rand(3, 6, generator=generator)
    torch.testing.assert_close(pairwise_logistic(cosines, judged), pairwise_logistic(-cosines, 1 - judged))


@pytest.mark.parametrize(("requests", "items"), [(300, 60), (40, 200)])
def test_targets_are_unit_vectors_that_can_say_what_the_judge_says(requests: int, items: int) -> None:
    random = np.random.default_rng(0)
    facts = random.random((items, 5)) < 0.3
    wanted = random.normal(size=(requests, 5))
    judged = (wanted @ facts.T).astype(np.float32)
    backbone = random.normal(size=(items, 32)).astype(np.float32)
    backbone /= np.linalg.norm(backbone, axis=1, keepdims=True)
    targets = item_targets(judged, backbone, rank=6)
    np.testing.assert_allclose(np.linalg.norm(targets, axis=1), 1, atol=1e-5)
    # Some direction orders the items as the judge does, and what is not judged stays with the backbone.
    design = targets - targets.mean(axis=0)
    solution, *_ = np.linalg.lstsq(design, (judged - judged.mean(axis=1, keepdims=True)).T, rcond=None)
    left = (judged - judged.mean(axis=1, keepdims=True)).T - design @ solution
    assert np.square(left).mean() < 0.1 * judged.var(axis=1).mean()
    assert (targets * backbone).sum(axis=1).mean() > 0.3


def test_a_budget_of_steps_is_exact() -> None:
    spent = list(Budget(steps=4).progress())
    assert spent == [0, 0.25, 0.5, 0.75]
    assert Budget(steps=10).part(0.35) == Budget(steps=4)
    assert Budget(steps=1).part(0.1) == Budget(steps=1)


def test_a_budget_of_seconds_takes_a_step_at_least() -> None:
    assert len(list(Budget(seconds=0).progress())) == 1
    assert Budget(seconds=10).part(0.5) == Budget(seconds=5)


@pytest.mark.parametrize("both", [{}, {"steps": 1, "seconds": 1.0}])
def test_a_budget_is_one_of_the_two(both: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="either"):
        Budget(**both)


def test_calibration_finds_the_boundary() -> None:
    relevant = np.arange(100) >= 90
    cosines = np.where(relevant, 0.6, 0.2).astype(np.float32) + np.tile(np.linspace(-0.15, 0.15, 10), 10).astype(np.float32)
    found = calibrate([Case("topic", "x", relevant)], lambda texts: np.ones((1, 1), np.float32), cosines[:, None])
    assert found.slope > 0
    assert -found.intercept / found.slope == pytest.approx(0.4, abs=0.03)


def test_padding_and_its_mask() -> None:
    ids, mask = pad([[5, 6, 7], [8]])
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_a_missing_backbone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"config.json.*ctrlrec data"):
        load_encoder(tmp_path)
    with pytest.raises(DataError, match=r"tokenizer.json"):
        load_tokenizer(tmp_path / "tokenizer.json")
