"""Wishes and their refusals: requests of which nothing is scored."""

import numpy as np
import pytest

from ranker.requests import Grammar
from ranker.taste import Taste
from tests.unit.small_data import small_dataset

torch = pytest.importorskip("torch")

from ranker.training.losses import Misunderstood  # noqa: E402 - what follows needs torch
from ranker.training.mirrors import AT_ONCE, TWO_SIDED, Mirrors  # noqa: E402

FACTS, WORDS = Grammar(small_dataset().catalogue), Grammar(small_dataset().catalogue, ["harbour", "lantern"])
TASTES = [Taste(("Drama", "War"))]


def mirrors(*without: str) -> Mirrors:
    return Mirrors([FACTS, WORDS], TASTES, 0.5, 3, without)  # type: ignore[arg-type]


def test_every_wish_is_followed_by_the_refusal_of_the_same_thing() -> None:
    drawn = mirrors().draw(100)
    assert len(drawn) == 100 * AT_ONCE
    last = round(len(drawn) * (1 - TWO_SIDED))
    for (wish, _), (refusal, _) in zip(drawn[:last:2], drawn[1:last:2], strict=True):
        assert wish.spec.wanted == refusal.spec.refused
        assert not wish.spec.refused
        assert not refusal.spec.wanted
        assert wish.text != refusal.text
    assert all(request.spec.wanted and request.spec.refused for request, _ in drawn[last:])
    tastes = [taste for _, taste in drawn]
    assert 0 < len(tastes) - tastes.count(None) < len(tastes) / 3
    scored = mirrors().scored(drawn, 256)
    assert scored.present.tolist() == [[1, 0], [0, 1]] * (last // 2) + [[1, 1]] * (len(drawn) - last)
    assert sum("usually watches drama and war" in text for text in scored.texts) == len(tastes) - tastes.count(None)


def test_they_begin_anew_with_each_phase_and_leave_out_what_is_left_out() -> None:
    left = mirrors("taste", "era", "popularity", "acclaim", "topic_without")
    left.begin("tuning")
    first = left.draw(50)
    assert {request.category for request, _ in first} == {"topic", "exclusion"}
    second = left.draw(50)
    left.begin("tuning")
    assert first == left.draw(50) != second


def test_nothing_is_taught_of_items_but_which_sides_there_are() -> None:
    source = mirrors()
    scored = source.scored(source.draw(4), 256)
    directions = torch.nn.functional.normalize(torch.rand(8, 2, 5), dim=-1).requires_grad_()
    sides = torch.zeros(8, 2, requires_grad=True)
    items, scores, present = torch.rand(20, 5), torch.from_numpy(scored.scores), torch.from_numpy(scored.present)
    for loss in ("correlation", "mse", "cross-entropy"):
        taught = Misunderstood(loss).of_sides(directions, sides, items[scored.rows], scores, present)
        assert taught.item() == pytest.approx(2 * np.log(2), rel=1e-5)  # the weight of the sides, each a coin's throw
        taught.backward()
    assert not directions.grad.any()
    assert (sides.grad.sign() == 1 - 2 * present).all()
