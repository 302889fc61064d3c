"""The head of the request tower, and what it is taught on."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ranker.errors import DataError

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402 - what follows needs torch

from ranker.training import head as head_of  # noqa: E402
from ranker.training.budget import Budget  # noqa: E402
from ranker.training.checkpoint import Checkpoint  # noqa: E402
from ranker.training.courses import Scored  # noqa: E402
from ranker.training.head import NEUTRAL, Head, Reading, amounts_to, read_layers  # noqa: E402
from ranker.training.losses import ASTRAY_WEIGHT, Misunderstood  # noqa: E402
from ranker.training.readings import Readings  # noqa: E402
from ranker.training.towers import Tower  # noqa: E402
from ranker.training.tuning import tune  # noqa: E402
from tests.unit.tiny_backbone import backbone  # noqa: E402


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
        torch.testing.assert_close(
            directions[row, side], torch.nn.functional.normalize(named[name], dim=0), atol=1e-4, rtol=0
        )


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


def test_a_head_of_another_version_is_named(tmp_path: Path) -> None:
    small_head().save(tmp_path)
    weights = load_file(tmp_path / "head.safetensors")
    save_file(
        {name.replace("wants", "sides"): weight for name, weight in weights.items()}, tmp_path / "head.safetensors"
    )
    with pytest.raises(DataError, match=r"head\.safetensors: a head of another version"):
        Head.load(tmp_path)


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


class OneDraw:
    """A source of the same requests time and again."""

    share = 1.0

    def __init__(self, meant: NDArray[np.float32] | None) -> None:
        self.meant = meant

    def begin(self, phase: str) -> None:
        pass

    def draw(self, size: int) -> list[str]:
        return ["a b c d e f g h", "a", "a b c d e", "a b"]  # which are read by their lengths

    def scored(self, drawn: Sequence[str], items: int) -> Scored:
        judged = np.random.default_rng(0).random((len(drawn), 3, 9)).astype(np.float32)
        return Scored(list(drawn), np.arange(9), judged, np.ones((len(drawn), 2), np.float32), self.meant)


def test_what_is_meant_is_compared_with_what_was_read_of_the_same_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_of, "NOISE", 0)
    monkeypatch.setattr(head_of, "DROPOUT", 0)
    texts = OneDraw(None).draw(4)

    tower = Tower.load(backbone())
    tower.head = Head(3 * tower.dimension, torch.eye(tower.dimension)[:3])

    def first_loss(meant: NDArray[np.float32] | None) -> float:
        watched: list[float] = []
        tune(
            deepcopy(tower), Misunderstood("correlation"), [OneDraw(meant)], torch.eye(tower.dimension)[:9], Budget(steps=1),
            0, lambda _phase, _done, loss: watched.append(loss or 0), Checkpoint(tmp_path, {}, kept=False), None, 0,
        )  # fmt: skip
        return watched[0]

    with torch.no_grad():
        directions, order = deepcopy(tower).eval().understood_in_parts(tower.tokenize(texts))
    assert order != sorted(order)
    found = np.empty_like(directions[0].numpy())
    found[order] = directions[0].numpy()
    assert first_loss(found) == pytest.approx(first_loss(None), abs=1e-2)  # half precision
    assert first_loss(np.roll(found, 1, axis=0)) > first_loss(None) + 0.1
    assert first_loss(-found) == pytest.approx(first_loss(None) + 2 * ASTRAY_WEIGHT, abs=1e-2)
