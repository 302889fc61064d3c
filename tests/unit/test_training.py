from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.catalogue import Catalogue
from ranker.errors import DataError
from ranker.evaluate import Case
from ranker.judges import RuleJudge
from ranker.requests import Category, Grammar
from ranker.requests.spec import Era, Fact, OwnTaste, Popularity, Topic
from ranker.taste import user_taste
from tests.unit import tiny_towers
from tests.unit.small_data import small_dataset

torch = pytest.importorskip("torch")

from ranker.training.batches import Batches, Drawn  # noqa: E402 - what follows needs torch
from ranker.training.budget import Budget  # noqa: E402
from ranker.training.calibration import calibrate  # noqa: E402
from ranker.training.losses import correlation  # noqa: E402
from ranker.training.targets import item_targets  # noqa: E402
from ranker.training.towers import Tower, load_encoder, load_tokenizer, pad  # noqa: E402
from tests.unit.tiny_backbone import backbone  # noqa: E402


def batches(seed: int = 5) -> Batches:
    dataset = small_dataset()
    tastes = [user_taste(dataset, user) for user in dataset.interactions.user_ids]
    return Batches(Grammar(dataset.catalogue), RuleJudge(dataset.catalogue), tastes, seed)


@settings(max_examples=30)  # a judge and a grammar are made for each example
@given(st.integers(1, 20), st.integers(0, 99))
def test_requests_come_with_the_judgment_of_the_whole_catalogue(requests: int, seed: int) -> None:
    judged = batches(seed).judged(requests)
    items = len(small_dataset().catalogue)
    assert judged.scores.shape == (requests, items)
    assert judged.sides.shape == (requests, 2, items)
    assert len(judged.texts) == requests
    assert ((judged.scores >= 0) & (judged.scores <= 1)).all()
    wanted, refused = judged.present.T[:, :, None] > 0
    # and = product, or = maximum, not = 1 - fit; two refusals are refused one by one, so that there is only a bound.
    least = np.where(wanted, judged.sides[:, 0], 1) * np.where(refused, 1 - judged.sides[:, 1], 1)
    assert (judged.scores <= least + 1e-6).all()
    assert (judged.scores == least)[~refused[:, 0]].all()
    assert (wanted | refused).all()
    assert (judged.sides[:, 0] == judged.sides[:, 1])[(wanted ^ refused)[:, 0]].all()


def test_what_is_left_out_is_never_drawn() -> None:
    dataset = small_dataset()
    tastes = [user_taste(dataset, user) for user in dataset.interactions.user_ids]
    made = Grammar(dataset.catalogue), RuleJudge(dataset.catalogue), tastes, 3
    judged = Batches(*made, without=["exclusion", "topic_without", "taste"]).judged(300)
    assert len(judged.texts) == 300
    assert not judged.present[:, 1].any()
    with pytest.raises(DataError, match="leave one of topic"):
        Batches(*made, without=["topic", "era", "popularity", "acclaim", "taste"])


def test_some_requests_want_one_thing_and_refuse_another_of_another_kind() -> None:
    def kinds(drawn: Sequence[Drawn]) -> set[tuple[type[Fact], type[Fact]]]:
        both = [each.spec for each in drawn if each.spec.wanted and each.spec.refused]
        return {(type(spec.wanted[0]), type(spec.refused[0])) for spec in both}

    assert {(Era, Topic), (Topic, Popularity), (OwnTaste, Era), (Topic, Topic)} <= kinds(batches().draw(3000))
    dataset = small_dataset()
    tastes = [user_taste(dataset, user) for user in dataset.interactions.user_ids]
    made = Grammar(dataset.catalogue), RuleJudge(dataset.catalogue), tastes, 3
    found = kinds(Batches(*made, without=["topic_without", "era"]).draw(3000))
    assert (Popularity, Topic) in found
    assert not any(wanted is Topic or Era in (wanted, refused) for wanted, refused in found)
    assert not kinds(Batches(*made, without=["topic_without", "exclusion"]).draw(1000))


def test_a_catalogue_without_years_asks_for_no_era_and_for_nothing_that_is_left_out() -> None:
    known = small_dataset()
    catalogue = Catalogue(tuple(replace(item, year=None) for item in known.catalogue.items))
    tastes = [user_taste(known, user) for user in known.interactions.user_ids]
    made = Grammar(catalogue), RuleJudge(catalogue), tastes, 3
    sides = [(each.spec.wanted, each.spec.refused) for each in Batches(*made).draw(1500)]
    both = {(type(wanted[0]), type(refused[0])) for wanted, refused in sides if wanted and refused}
    assert {(Topic, Topic), (Topic, Popularity), (Popularity, Topic)} <= both
    assert not any(isinstance(fact, Era) for side in sides for facts in side for fact in facts)
    without: list[Category] = ["topic", "exclusion", "topic_without", "blend", "either"]
    for left_out in (without[:1], without):
        drawn = Batches(*made, without=left_out).draw(600)
        alone = [each.spec for each in drawn if len(each.spec.wanted) + len(each.spec.refused) == 1]
        assert not any(isinstance(fact, Topic) for spec in alone for fact in spec.wanted)
        assert not any(
            isinstance(fact, Topic) and type(other) is not Topic
            for each in drawn
            if each.spec.wanted and each.spec.refused
            for fact, other in (
                (each.spec.wanted[0], each.spec.refused[0]),
                (each.spec.refused[0], each.spec.wanted[0]),
            )
        )
    with pytest.raises(DataError, match="this catalogue has no requests of other categories"):
        Batches(*made, without=[*without, "popularity", "acclaim", "taste"]).draw(10)


def test_the_same_seed_draws_the_same_requests() -> None:
    first, second, other = batches(1), batches(1), batches(2)
    for _ in range(3):
        left, right = first.judged(8), second.judged(8)
        assert left.texts == right.texts
        assert left.scores.tolist() == right.scores.tolist()
    assert first.judged(8).texts != other.judged(8).texts


def test_only_requests_about_taste_always_come_with_one() -> None:
    told = ["| reader usually watches" in text for text in batches().judged(400).texts]
    assert 0.1 < np.mean(told) < 0.6


def test_the_correlation_is_pearsons() -> None:
    generator = torch.Generator().manual_seed(3)
    left, right = torch.rand(4, 9, generator=generator), torch.rand(4, 9, generator=generator)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(left.numpy(), right.numpy(), strict=True)]
    everything = torch.ones(4, 9, dtype=torch.bool)
    np.testing.assert_allclose(correlation(left, right, everything).numpy(), expected, atol=1e-5)
    assert correlation(torch.ones(1, 3), torch.rand(1, 3), everything[:1, :3]).tolist() == [0]


@pytest.mark.parametrize("half", [True, False])
def test_in_training_weights_are_halved_and_gradients_are_not(monkeypatch: pytest.MonkeyPatch, half: bool) -> None:
    monkeypatch.setattr("ranker.training.towers.HALF", half)
    tower = Tower.load(backbone())
    tower.freeze(1)
    texts = [f"{'more ' * (place % 5)}drama of the {place}s" for place in range(40)]
    vectors, order = tower.in_parts(tower.tokenize(texts))
    whole = torch.from_numpy(tower.eval().embed([texts[place] for place in order]))
    assert ((vectors * whole).sum(dim=1) > (0.999 if half else 0.99999)).all()
    torch.autograd.backward(vectors.sum())
    for name, weight in tower.encoder.named_parameters():
        if "pooler" not in name:
            assert (weight.grad is not None) == weight.requires_grad, name
        if weight.grad is not None:
            assert weight.grad.dtype == torch.float32
            assert weight.grad.isfinite().all()


@pytest.mark.parametrize(("requests", "items"), [(300, 60), (40, 200)])
def test_targets_are_unit_vectors_that_can_say_what_the_judge_says(requests: int, items: int) -> None:
    random = np.random.default_rng(0)
    facts = random.random((items, 5)) < 0.3
    wanted = random.normal(size=(requests, 5))
    judged = (wanted @ facts.T).astype(np.float32)
    backbone = random.normal(size=(items, 32)).astype(np.float32)
    backbone /= np.linalg.norm(backbone, axis=1, keepdims=True)
    targets, directions = item_targets(judged, backbone, rank=6)
    np.testing.assert_allclose(np.linalg.norm(targets, axis=1), 1, atol=1e-5)
    # Some direction orders the items as the judge does, and what is not judged stays with the backbone.
    design = targets - targets.mean(axis=0)
    solution, *_ = np.linalg.lstsq(design, (judged - judged.mean(axis=1, keepdims=True)).T, rcond=None)
    left = (judged - judged.mean(axis=1, keepdims=True)).T - design @ solution
    assert np.square(left).mean() < 0.1 * judged.var(axis=1).mean()
    assert (targets * backbone).sum(axis=1).mean() > 0.3
    np.testing.assert_allclose(directions @ directions.T, np.eye(len(directions)), atol=1e-5)


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


def test_a_backbone_of_another_build_is_named(tmp_path: Path) -> None:
    from transformers import DistilBertConfig, DistilBertModel

    DistilBertModel(DistilBertConfig(vocab_size=9, dim=8, n_heads=2, n_layers=1, hidden_dim=8)).save_pretrained(
        tmp_path
    )
    with pytest.raises(DataError, match="backbone"):
        load_encoder(tmp_path)


def test_a_backbone_with_too_few_layers_is_named() -> None:
    with pytest.raises(DataError, match="2 layers; training needs more than 2"):
        Tower(
            load_encoder(tiny_towers.towers() / "item"), load_tokenizer(tiny_towers.towers() / "tokenizer.json")
        ).freeze(2)
