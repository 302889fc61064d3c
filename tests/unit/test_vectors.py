from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranker.errors import BundleError
from ranker.vectors import (
    IDS,
    ITEM_LEVELS,
    MAX_DIMENSION,
    SCALES,
    VECTORS,
    Floats,
    ItemVectors,
    Quantized,
    quantize,
    quantize_request,
)


def unit(rng: np.random.Generator, n: int, d: int) -> Floats:
    x: Floats = rng.normal(size=(n, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def item_vectors(vectors: Floats) -> ItemVectors:
    rows = [quantize(vector) for vector in vectors]
    ids = [f"i{i}" for i in range(len(rows))]
    return ItemVectors(ids, np.stack([row.floats() for row in rows]), np.array([row.scale for row in rows], np.float32))


@given(st.integers(0, 2**32 - 1), st.sampled_from([8, 384, MAX_DIMENSION]))
def test_scores_are_exact_and_close_to_the_cosine(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, request = unit(rng, 7, d), unit(rng, 1, d)[0]
    items, asked = item_vectors(vectors), quantize_request(request)
    whole = items.scores(np.arange(7), asked.floats())
    exact = [
        np.float32(
            np.frombuffer(quantize(v).values, "<i2").astype(int) @ np.frombuffer(asked.values, "<i2").astype(int)
        )
        * np.float32(quantize(v).scale)
        for v in vectors
    ]
    assert whole.tolist() == exact
    assert np.abs(whole * np.float32(asked.scale) - vectors @ request).max() < 0.02


def test_the_largest_products_are_exact() -> None:
    for d in (1, 4, 384, MAX_DIMENSION):
        flat = np.full(d, 1 / np.sqrt(d), np.float32)  # every product is as large as it can be
        items, asked = item_vectors(flat[None]), quantize_request(flat).floats()
        most = int(asked[0]) * ITEM_LEVELS * d
        assert most <= 2**24
        assert items.scores(np.arange(1), asked)[0] == np.float32(most) * np.float32(quantize(flat).scale)


def test_a_score_is_the_same_bits_whatever_it_is_computed_beside() -> None:
    rng = np.random.default_rng(1)
    items, values = item_vectors(unit(rng, 300, 384)), quantize(unit(rng, 1, 384)[0]).floats()
    together = items.scores(np.arange(300), values)
    for row in range(300):
        assert items.scores(np.array([row]), values)[0] == together[row]


def test_late_items_are_found_replaced_and_forgotten() -> None:
    rng = np.random.default_rng(2)
    vectors = unit(rng, 5, 16)
    items, values = item_vectors(vectors[:3]), quantize(vectors[4]).floats()
    alone = item_vectors(vectors).scores(np.arange(5), values)
    items.put("new", quantize(vectors[3]))
    assert items.rows(["i1", "new", "nobody"]).tolist() == [1, 3, -1]
    assert items.scores(items.rows(["i1", "new"]), values).tolist() == [alone[1], alone[3]]
    items.put("i1", quantize(vectors[4]))  # replaces one of the bundle's
    assert items.scores(items.rows(["i1"]), values)[0] == alone[4]
    items.remove("i1")
    assert items.rows(["i1"]).tolist() == [-1]
    items.put("again", quantize(vectors[0]))  # takes the place that was freed
    assert items.scores(items.rows(["again", "new", "i2"]), values).tolist() == [alone[0], alone[3], alone[2]]
    items.remove("nobody")
    assert len(items) == 4


def test_many_late_items() -> None:
    rng = np.random.default_rng(3)
    vectors = unit(rng, 500, 8)
    items, values = item_vectors(vectors[:2]), quantize(vectors[0]).floats()
    for i in range(2, 500):
        items.put(f"i{i}", quantize(vectors[i]))
    expected = item_vectors(vectors).scores(np.arange(500), values)
    assert items.scores(items.rows([f"i{i}" for i in range(500)]), values).tolist() == expected.tolist()


def test_late_items_are_not_all_copied_for_one_more() -> None:
    items, one = item_vectors(np.ones((2, 8), np.float32)), quantize(np.ones(8, np.float32))
    copies: list[NDArray[Any]] = []
    for i in range(4096):
        items.put(f"late{i}", one)
        for array in (items._late, items._late_scales):
            if not any(array is known for known in copies):
                copies.append(array)
    assert len(copies) == 2 * 7  # room for 64, 128, ... 4096


def test_a_vector_that_is_refused_takes_no_room() -> None:
    items = item_vectors(np.ones((2, 8), np.float32))
    for length in (0, 1, 7, 9):
        with pytest.raises(ValueError, match=f"a vector of {length} components among those of 8"):
            items.put("late", Quantized(bytes(2 * length), 0.5))
    items.put("good", quantize(np.ones(8, np.float32)))
    assert items.rows(["late", "good"]).tolist() == [-1, 2]


def of_run(items: ItemVectors, rows: list[int], requests: list[Floats]) -> list[list[float]]:
    """Each request's scores with the same rows."""
    n = len(rows)
    spans = [slice(n * i, n * (i + 1)) for i in range(len(requests))]
    scores = items.scores_of_run(np.array(rows * len(requests)), requests, spans)
    return [scores[span].tolist() for span in spans]


def test_scores_that_are_kept_are_those_that_would_be_computed() -> None:
    rng = np.random.default_rng(5)
    vectors = unit(rng, 50, 16)
    items, requests = item_vectors(vectors[:40]), [quantize(vector).floats() for vector in unit(rng, 3, 16)]
    items.put("late", quantize(vectors[40]))
    rows = [3, 40, 39, 0]
    for turn in range(8):
        assert of_run(items, rows, requests) == [items.scores(np.array(rows), values).tolist() for values in requests]
        items.put("late", quantize(vectors[40 + turn]))  # is replaced while scores are kept
    assert all(kept.scores is not None for kept in items._kept.values())
    assert items.scores_of_run(np.array([1, 2]), [None], [slice(0, 2)]).tolist() == [-np.inf, -np.inf]


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranker.vectors.MAX_KEPT", 4 * (40 + 16) * 2)
    rng = np.random.default_rng(6)
    items, requests = item_vectors(unit(rng, 40, 16)), [quantize(vector).floats() for vector in unit(rng, 5, 16)]
    for _ in range(3):
        of_run(items, list(range(20)), requests)
        assert len(items._kept) == 2
    monkeypatch.setattr("ranker.vectors.MAX_KEPT_FOR", 39)
    large = item_vectors(unit(rng, 40, 16))
    of_run(large, list(range(20)), requests)
    assert not large._kept


def test_what_is_kept_goes_with_the_request() -> None:
    rng = np.random.default_rng(8)
    items, requests = item_vectors(unit(rng, 40, 16)), [quantize(vector).floats() for vector in unit(rng, 5, 16)]
    of_run(items, list(range(20)), requests)
    assert set(items._kept) == {id(values) for values in requests}
    del requests[1:4]
    assert set(items._kept) == {id(values) for values in requests}


def test_save_and_load(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    vectors = [quantize(vector) for vector in unit(rng, 4, 12)]
    ItemVectors.save(tmp_path, ["a", "b", "c", "ü"], vectors)
    items = ItemVectors.load(tmp_path)
    assert (len(items), items.dimension) == (4, 12)
    assert items.rows(["ü", "a"]).tolist() == [3, 0]
    expected = float(vectors[3].floats() @ vectors[0].floats()) * np.float32(vectors[3].scale)
    assert items.scores(items.rows(["ü"]), vectors[0].floats())[0] == np.float32(expected)


@pytest.mark.parametrize("name", [VECTORS, SCALES, IDS])
def test_a_missing_or_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    ItemVectors.save(tmp_path, ["a"], [Quantized(bytes([1, 0, 2, 0]), 0.5)])
    (tmp_path / name).write_bytes(b"{")
    with pytest.raises(BundleError, match=r"item vectors in"):
        ItemVectors.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(BundleError, match=name):
        ItemVectors.load(tmp_path)


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(BundleError, match="2 item ids, 1 vectors"):
        ItemVectors(["a", "b"], np.ones((1, 2), np.float32), np.ones(1, np.float32))
    with pytest.raises(BundleError, match=str(MAX_DIMENSION)):
        ItemVectors(["a"], np.ones((1, MAX_DIMENSION + 1), np.float32), np.ones(1, np.float32))


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_vector_without_direction_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="no direction"):
        quantize(np.full(3, bad, np.float32))


def test_a_late_item_scores_as_one_of_the_bundle_does() -> None:
    rng = np.random.default_rng(5)
    vectors, asked = unit(rng, 20, 384), quantize_request(unit(rng, 1, 384)[0]).floats()
    whole, part = item_vectors(vectors), item_vectors(vectors[:5])
    for number in range(5, 20):
        part.put(f"i{number}", quantize(vectors[number]))
    ids = [f"i{number}" for number in rng.permutation(20)]
    assert part.scores(part.rows(ids), asked).tolist() == whole.scores(whole.rows(ids), asked).tolist()
    assert part.late == 15


def test_what_the_bundle_has_takes_no_room() -> None:
    vectors = unit(np.random.default_rng(6), 4, 8)
    items = item_vectors(vectors[:3])
    own, other = quantize(vectors[1]), quantize(vectors[3])
    assert not items.would_grow("i1", own)
    items.put("i1", own)
    assert (items.late, items.rows(["i1"]).tolist()) == (0, [1])
    assert items.would_grow("i1", other)
    items.put("i1", other)
    assert (items.late, items.rows(["i1"]).tolist()) == (1, [3])
    assert not items.would_grow("i1", other)
    items.put("i1", own)  # as it was
    assert (items.late, items.rows(["i1"]).tolist()) == (0, [1])
    items.remove("i1")
    assert items.rows(["i1"]).tolist() == [-1]
    items.put("i1", own)
    assert (items.late, items.rows(["i1"]).tolist()) == (0, [1])
    items.put("i1", other)
    items.remove("i1")
    assert (items.late, items.rows(["i1"]).tolist()) == (0, [-1])
    items.put("i1", own)
    assert (items.late, items.rows(["i1"]).tolist()) == (0, [1])


def test_one_level_is_the_same_text_and_two_are_another() -> None:
    vectors = unit(np.random.default_rng(8), 2, 8)
    items, own = item_vectors(vectors), quantize(vectors[0])
    for more, late in ((1, 0), (2, 1)):
        values = own.floats()
        values[np.abs(values).argmin()] += more
        items.put("i0", Quantized(values.astype("<i2").tobytes(), own.scale))
        assert items.late == late
    items.put("i0", Quantized(own.values, own.scale * 1.01))
    assert items.late == 1


def test_a_vector_that_would_not_be_summed_exactly_is_refused() -> None:
    vectors = unit(np.random.default_rng(7), 2, 8)
    items = item_vectors(vectors)
    with pytest.raises(ValueError, match="beyond 127"):
        items.put("new", Quantized(np.full(8, -128, "<i2").tobytes(), 0.1))
    assert len(items) == 2
