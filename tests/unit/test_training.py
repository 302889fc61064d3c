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
from ranker.training.head import NEUTRAL, Head, layer_features  # noqa: E402
from ranker.training.targets import item_targets  # noqa: E402
from ranker.training.towers import load_encoder, load_tokenizer, pad  # noqa: E402
from ranker.training.train import correlation  # noqa: E402


def batches(seed: int = 5) -> Batches:
    dataset = small_dataset()
    tastes = [user_taste(dataset, user) for user in dataset.interactions.user_ids]
    return Batches(Grammar(dataset.catalogue), RuleJudge(dataset.catalogue), tastes, seed)


@settings(deadline=None, max_examples=30)  # a judge and a grammar are made for each example
@given(st.integers(1, 20), st.integers(0, 99))
def test_requests_come_with_the_judgment_of_the_whole_catalogue(requests: int, seed: int) -> None:
    texts, judged = batches(seed).judged(requests)
    assert judged.shape == (len(texts), len(small_dataset().catalogue))
    assert len(texts) == requests
    assert ((judged >= 0) & (judged <= 1)).all()


def test_the_same_seed_draws_the_same_requests() -> None:
    first, second, other = batches(1), batches(1), batches(2)
    for _ in range(3):
        left, right = first.judged(8), second.judged(8)
        assert left[0] == right[0]
        assert left[1].tolist() == right[1].tolist()
    assert first.judged(8)[0] != other.judged(8)[0]


def test_only_requests_about_taste_always_come_with_one() -> None:
    told = ["| reader usually watches" in text for text in batches().judged(400)[0]]
    assert 0.1 < np.mean(told) < 0.6


def test_the_correlation_is_pearsons() -> None:
    generator = torch.Generator().manual_seed(3)
    left, right = torch.rand(4, 9, generator=generator), torch.rand(4, 9, generator=generator)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(left.numpy(), right.numpy(), strict=True)]
    np.testing.assert_allclose(correlation(left, right).numpy(), expected, atol=1e-5)
    assert correlation(torch.ones(1, 3), torch.rand(1, 3)).tolist() == [0]


def test_a_head_reads_every_layer_and_no_padding() -> None:
    generator = torch.Generator().manual_seed(5)
    layers = tuple(torch.rand(2, 4, 6, generator=generator) for _ in range(4))
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    features = layer_features(layers, mask)
    assert features.shape == (
        2,
        (3 + 2 + 2) * 6,
    )  # means of three layers, two first tokens, the second layer's extremes
    cut = tuple(layer[1:, :2] for layer in layers)
    torch.testing.assert_close(layer_features(cut, None)[0], features[1])
    for number in (1, 2, 3):
        changed = tuple(layer + (place == number) * torch.arange(6.0) for place, layer in enumerate(layers))
        assert not torch.equal(layer_features(changed, mask), features)


def test_a_head_is_saved_and_takes_features_as_they_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    head, features = Head(10, 4, width=7, gate_width=3, slots=2).eval(), torch.rand(5, 10)
    mean, deviation = features.mean(dim=0), features.std(dim=0)
    before = head((features - mean) / deviation)
    head.absorb(mean, deviation)
    torch.testing.assert_close(head(features), before, atol=1e-5, rtol=1e-4)
    head.save(tmp_path)
    loaded = Head.load(tmp_path)
    assert loaded is not None
    assert torch.equal(loaded(features), head(features))
    assert Head.load(tmp_path / "elsewhere") is None


@torch.no_grad()  # type: ignore[untyped-decorator]
def test_the_neutral_vector_shortens_what_is_undecided_and_moves_no_order() -> None:
    torch.manual_seed(0)
    head, features = Head(10, 8, width=7, gate_width=3).eval(), torch.rand(50, 10)
    items = torch.rand(40, 8)
    items[:, 3] = 0.5  # two directions in which no two items differ
    items[:, 6] = items[:, 2]
    before = head(features)
    head.add_neutral(features, items)
    moved = head(features) - before
    torch.testing.assert_close(moved, moved[:1].expand_as(moved), atol=1e-5, rtol=0)
    assert moved[0].norm() == pytest.approx(NEUTRAL * float(before.norm(dim=1).median()), rel=1e-4)
    torch.testing.assert_close((items @ moved[0]).std(), torch.tensor(0.0), atol=1e-4, rtol=0)


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
    cosines = np.where(relevant, 0.6, 0.2).astype(np.float32) + np.tile(np.linspace(-0.15, 0.15, 10), 10).astype(
        np.float32
    )
    found = calibrate(
        [Case("topic", "x", relevant.astype(np.float32))], lambda texts: np.ones((1, 1), np.float32), cosines[:, None]
    )
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
