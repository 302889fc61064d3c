from pathlib import Path

import numpy as np
import pytest

from exporters.catalogue import save
from exporters.parity import MOST_ITEMS, Parity, check_alone, compare, sample
from ranker.errors import ParityError
from ranker.vectors import Floats, ItemVectors
from tests.unit.tiny_towers import TEXTS, bundle, tower


def unit(rows: int, seed: int) -> Floats:
    vectors = np.random.default_rng(seed).normal(size=(rows, 64)).astype(np.float32)
    normalised: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normalised


def saved(folder: Path, vectors: Floats) -> ItemVectors:
    save(folder, [f"i{row}" for row in range(len(vectors))], vectors)
    return ItemVectors.load(folder)


def test_the_same_vectors_agree(tmp_path: Path) -> None:
    trained = unit(20, 1), unit(100, 2)
    parity = compare(trained, trained, saved(tmp_path, trained[1]), sample(100))
    assert parity.request_cosine_mean == pytest.approx(1)
    assert parity.item_cosine_worst == pytest.approx(1)
    assert parity.top_agreement > 0.97  # 8-bit vectors may swap neighbours about tenth place
    parity.check()


def test_agreement_by_hand(tmp_path: Path) -> None:
    """Forty items on a quarter circle: a request at its one end wants the first ten, moved by six it wants 6 to 15."""
    angles = np.linspace(0, np.pi / 2, 40)
    items = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    wanted = np.array([[np.cos(angles[4]), np.sin(angles[4])]], np.float32)
    moved = np.array([[np.cos(angles[10] - 0.001), np.sin(angles[10] - 0.001)]], np.float32)
    wanted_top = set(np.argsort(-(items @ wanted[0]))[:10])
    moved_top = set(np.argsort(-(items @ moved[0]))[:10])
    parity = compare((wanted, items), (moved, items), saved(tmp_path, items), sample(40))
    assert parity.top_agreement == pytest.approx(len(wanted_top & moved_top) / 10, abs=0.1)
    assert parity.top_agreement < 0.6
    assert parity.request_cosine_worst == pytest.approx(np.cos(angles[10] - angles[4] - 0.001), abs=1e-5)


def test_every_figure_below_its_bound_is_named(tmp_path: Path) -> None:
    trained, other = (unit(20, 1), unit(100, 2)), (unit(20, 3), unit(100, 2))
    parity = compare(trained, other, saved(tmp_path, other[1]), sample(100))
    with pytest.raises(ParityError) as failure:
        parity.check()
    for name in ("request_cosine_mean", "request_cosine_worst", "top_agreement"):
        assert f"{name} is {parity.figures()[name]:.4f}, needs 0.9" in str(failure.value)
    assert "item_cosine" not in str(failure.value)


@pytest.mark.parametrize("place", range(5))
def test_one_figure_is_enough_and_nan_is_not(place: int) -> None:
    Parity(*[1.0] * 5).check()
    for bad in (0.9, float("nan")):
        figures = [1.0] * 5
        figures[place] = bad
        with pytest.raises(ParityError):
            Parity(*figures).check()


def test_a_large_catalogue_is_sampled() -> None:
    assert sample(30).tolist() == list(range(30))
    rows = sample(10 * MOST_ITEMS)
    assert len(set(rows.tolist())) == MOST_ITEMS
    assert rows.max() > 9 * MOST_ITEMS
    assert (rows == sample(10 * MOST_ITEMS)).all()


def test_vectors_that_depend_on_company_are_refused() -> None:
    vectors = tower("request").embed_all(TEXTS)
    check_alone(tower("request"), TEXTS, vectors)
    vectors[2, 0] = np.nextafter(vectors[2, 0], np.float32(2))
    with pytest.raises(ParityError, match=TEXTS[2]):
        check_alone(tower("request"), TEXTS, vectors)


def test_the_figures_of_a_bundle_are_in_its_manifest() -> None:
    figures = bundle().manifest.parity
    assert set(figures) == set(Parity.__struct_fields__)
    Parity(**figures).check()
