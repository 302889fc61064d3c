"""The losses of the head, and the learning curve."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402 - what follows needs torch

from ranker.training import curve  # noqa: E402
from ranker.training.curve import MOST, Curve, Point  # noqa: E402
from ranker.training.losses import ASTRAY_WEIGHT, INTERCEPT, LOSSES, MSE_WEIGHT, SCALE, SLOPE, Loss, Misunderstood  # noqa: E402


def some() -> tuple[Tensor, Tensor, Tensor]:
    """What four requests mean, seven items, and the judgments."""
    generator = torch.Generator().manual_seed(2)
    items = torch.nn.functional.normalize(torch.randn(7, 5, generator=generator), dim=1)
    return torch.randn(4, 3, 5, generator=generator), items, torch.rand(4, 3, 7, generator=generator)


def test_the_losses_are_what_their_formulas_say() -> None:
    meant, items, judged = some()
    cosines = (meant.numpy() / np.linalg.norm(meant.numpy(), axis=2, keepdims=True)) @ items.numpy().T
    chance, y = 1 / (1 + np.exp(-SCALE * (SLOPE * cosines + INTERCEPT))), judged.numpy()
    expected = {
        "mse": MSE_WEIGHT * ((chance - y) ** 2).mean(axis=(0, 2)),
        "cross-entropy": -(y * np.log(chance) + (1 - y) * np.log(1 - chance)).mean(axis=(0, 2)),
        "correlation": [
            np.mean([1 - np.corrcoef(cosines[row, side], y[row, side])[0, 1] for row in range(4)]) for side in range(3)
        ],
    }
    assert set(expected) == set(LOSSES)
    for name, value in expected.items():
        found = Misunderstood(cast(Loss, name)).apart(meant, items, judged).detach().numpy()
        np.testing.assert_allclose(found, value, rtol=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_of_what_nothing_is_said_nothing_is_learned(name: Loss) -> None:
    meant, items, judged = some()
    judged[:, :, [1, 4]] = torch.nan
    judged[2, 1] = torch.nan  # a side of which nothing at all is said
    loss, others = Misunderstood(name), [0, 2, 3, 5, 6]
    found = loss.apart(meant.requires_grad_(), items, judged)
    left = loss.apart(meant, items[others], judged[:, :, others])
    np.testing.assert_allclose(found[[0, 2]].tolist(), left[[0, 2]].tolist(), rtol=1e-5)
    three = loss.apart(meant[[0, 1, 3]], items[others], judged[[0, 1, 3]][:, :, others])
    assert found[1].item() == pytest.approx(three[1].item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(found.sum(), meant)
    assert gradient.isfinite().all()
    assert not gradient[2, 1].any()
    assert gradient[2, 0].any()


def test_how_far_a_direction_is_from_what_is_meant_is_part_of_the_loss() -> None:
    meant, items, judged = some()
    directions, sides = torch.nn.functional.normalize(meant[:, 1:], dim=-1), torch.zeros(len(meant), 2)
    loss = Misunderstood("correlation")

    def of(named: Tensor | None) -> float:
        return loss.of_sides(directions, sides, items, judged, torch.ones_like(sides), named).item()

    assert of(directions) == pytest.approx(of(None), abs=1e-5)
    assert of(-directions) == pytest.approx(of(None) + 2 * ASTRAY_WEIGHT, abs=1e-5)


@pytest.mark.parametrize("name", ["mse", "cross-entropy"])
def test_the_calibration_is_learned(name: Loss) -> None:
    meant, items, _ = some()
    cosines = torch.nn.functional.normalize(meant, dim=-1) @ items.T
    judged = torch.sigmoid(6 * cosines + 1)
    loss = Misunderstood(name)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.02)
    for _ in range(600):
        optimizer.zero_grad()
        loss.apart(meant, items, judged).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    np.testing.assert_allclose(SCALE * loss.slope.detach().numpy(), 6, atol=0.1)
    np.testing.assert_allclose(SCALE * loss.intercept.detach().numpy(), 1, atol=0.1)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=1000))
def test_a_curve_stays_short_and_keeps_the_mean(losses: list[float]) -> None:
    grown = Curve()
    for step, loss in enumerate(losses, 1):
        grown.add(step, step / 10, loss, 0.5 if step == 1 else None)
    assert len(grown.points) <= MOST
    assert grown.points[-1].step == len(losses)
    before = [0, *(point.step for point in grown.points)]
    for start, point in zip(before, grown.points, strict=False):
        assert point.loss == pytest.approx(np.mean(losses[start : point.step]), abs=1e-9)
        assert point.seconds == point.step / 10
    assert grown.points[0].dev_auc == 0.5


def test_a_curve_is_drawn_with_what_was_measured(tmp_path: Path) -> None:
    points = [Point(step, float(step), 1 / step, 0.9 if step % 3 == 0 else None) for step in range(1, 10)]
    curve.draw(tmp_path / "a.png", {"item tower": points, "request head": []})
    curve.draw(tmp_path / "b.png", {"item tower": points})
    assert (tmp_path / "a.png").stat().st_size > (tmp_path / "b.png").stat().st_size > 5000
