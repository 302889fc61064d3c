from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.errors import DataError
from ranker.evaluate import Case
from ranker.judges import RuleJudge
from ranker.requests import Grammar
from ranker.requests.spec import Era, Fact, OwnTaste, Popularity, Topic
from ranker.taste import user_taste
from tests.unit import tiny_towers
from tests.unit.small_data import small_dataset

torch = pytest.importorskip("torch")

from ranker.training.batches import Batches, Drawn  # noqa: E402 - what follows needs torch
from ranker.training.budget import Budget  # noqa: E402
from ranker.training.calibration import calibrate  # noqa: E402
from ranker.training.head import NEUTRAL, Head, Reading, amounts_to, read_layers  # noqa: E402
from ranker.training.losses import correlation  # noqa: E402
from ranker.training.readings import Readings  # noqa: E402
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


def test_a_head_reads_three_layers_and_no_padding() -> None:
    generator = torch.Generator().manual_seed(5)
    layers = tuple(torch.rand(2, 4, 6, generator=generator) for _ in range(7))
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    read = read_layers(layers, mask)
    torch.testing.assert_close(read.tokens, torch.cat([layers[2], layers[4], layers[6]], dim=-1))
    assert torch.equal(read.mask, mask.float())
    cut = read_layers(tuple(layer[1:, :2] for layer in layers), None)
    torch.testing.assert_close(cut.tokens[0], read.tokens[1, :2])
    assert cut.mask.all()


def small_head() -> Head:
    torch.manual_seed(0)
    return Head(6, torch.eye(6)[:3], width=7, side_width=3, attention_width=5).eval()


def some_readings(count: int = 50) -> Readings:
    """Of texts of 1 to 5 tokens."""
    generator, readings = torch.Generator().manual_seed(7), Readings()
    for start in range(0, count, 10):
        lengths = 1 + (torch.arange(10) + start) % 5
        mask = (torch.arange(5) < lengths.unsqueeze(1)).float()
        readings.append(Reading(torch.rand(10, 5, 6, generator=generator), mask))
    return readings


@torch.no_grad()  # type: ignore[untyped-decorator]
def test_what_each_token_says_adds_up_to_both_sides() -> None:
    head = Head(6, torch.eye(6)[:3], side_width=2).eval()
    for weights in head.parameters():  # nothing stands out, no facts, and the encoder's own meaning
        weights.zero_()
    # gelu(x) - gelu(-x) = x: the last column says yes and no.
    head.get_parameter("wants.0.weight")[:, 5] = torch.tensor([1.0, -1.0])
    head.get_parameter("wants.3.weight").copy_(torch.tensor([[20.0, -20.0]]))
    yes, no, rest = ([1.0, 0, 0, 0, 0, 1], [0, 1.0, 0, 0, 0, -1], [9.0] * 6)
    texts = torch.tensor([[yes, no, rest], [yes, rest, rest], [no, rest, rest], [no, no, yes]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 1, 1]])
    directions, sides = head.understood(Reading(texts, mask.float()))
    assert (sides > 0).tolist() == [[True, True], [True, False], [False, True], [True, True]]
    named = {"yes": torch.tensor(yes), "no": torch.tensor(no)}
    for row, side, name in ((0, 0, "yes"), (0, 1, "no"), (1, 0, "yes"), (1, 1, "yes"), (2, 0, "no"), (3, 0, "yes")):
        torch.testing.assert_close(directions[row, side], torch.nn.functional.normalize(named[name], dim=0), atol=1e-4, rtol=0)


@torch.no_grad()  # type: ignore[untyped-decorator]
def test_a_head_hears_nothing_of_padding_and_of_other_texts() -> None:
    head, readings = small_head(), some_readings()
    head.standardise(readings.sample(50))
    together = head(readings.of(range(20)))
    for row in range(20):
        torch.testing.assert_close(head(readings.of([row]))[0], together[row], atol=1e-5, rtol=1e-4)


@torch.no_grad()  # type: ignore[untyped-decorator]
def test_a_head_is_saved_with_what_it_standardises_by(tmp_path: Path) -> None:
    head, readings = small_head(), some_readings()
    head.standardise(readings.sample(50))
    head.save(tmp_path)
    loaded = Head.load(tmp_path)
    assert loaded is not None
    assert torch.equal(loaded(readings.of(range(9))), head(readings.of(range(9))))
    assert Head.load(tmp_path / "elsewhere") is None


def test_what_is_wanted_counts_for_and_what_is_refused_against() -> None:
    directions, sure = torch.eye(2).unsqueeze(0), 30.0  # (1, 2, 2)
    for sides, expected in (
        ((sure, -sure), [1, 0]),
        ((-sure, sure), [0, -1]),
        ((sure, sure), [1, -1]),
        ((0, 0), [0.5, -0.5]),
    ):
        torch.testing.assert_close(amounts_to(directions, torch.tensor([sides])), torch.tensor([expected]).float())


def test_every_text_is_in_one_batch_of_a_round() -> None:
    readings = some_readings()
    batches = readings.batches(8, seed=1)
    first, second = ([next(batches) for _ in range(7)] for _ in range(2))
    for one_round in (first, second):
        assert sorted(row for rows in one_round for row in rows) == list(range(50))
    assert first != second
    assert max(readings.of(first[0]).mask.sum(dim=1)) - min(readings.of(first[0]).mask.sum(dim=1)) <= 3


@torch.no_grad()  # type: ignore[untyped-decorator]
def test_the_neutral_vector_shortens_what_is_undecided_and_moves_no_order() -> None:
    head, read = small_head(), some_readings().of(range(50))
    items, others = torch.rand(400, 6), torch.rand(40, 6)
    items[:, 3:] = 0.5  # in three directions no two items differ, and in two of them no two of the others
    others[:, 3] = 0.5
    others[:, 5] = others[:, 4]
    before = head(read)
    head.add_neutral(read, items, others)
    moved = head(read) - before
    torch.testing.assert_close(moved, moved[:1].expand_as(moved), atol=1e-5, rtol=0)
    assert moved[0].norm() == pytest.approx(NEUTRAL * float(before.norm(dim=1).median()), rel=1e-4)
    for some in (items, others):
        torch.testing.assert_close((some @ moved[0]).std(), torch.tensor(0.0), atol=1e-4, rtol=0)


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
