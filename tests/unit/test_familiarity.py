import random
import string

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.familiarity import references
from exporters.probes import Asked, draw_requests
from ranker.bundle import BundleCalibration
from ranker.data import load_dataset
from ranker.embed import RequestEmbedder
from ranker.errors import BundleError
from ranker.events import ControlRequest, ItemUpsert
from ranker.familiarity import PROJECTIONS, Projections, Requests, fragmentation, mahalanobis, pvalue
from ranker.requesttext import request_text
from ranker.run import Steering
from tests.unit.tiny_towers import DIMENSION, bundle, data


def test_the_p_value_is_the_formula() -> None:
    calibration = np.array([1.0, 2.0, 2.0, 5.0])
    assert [pvalue(calibration, d) for d in (0, 1, 1.5, 2, 4, 5, 6)] == [1.0, 1.0, 0.8, 0.8, 0.4, 0.4, 0.2]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=50), st.floats(-5, 5), st.floats(0, 5))
def test_the_p_value_is_in_bounds_and_falls_with_distance(values: list[float], distance: float, more: float) -> None:
    calibration = np.sort(np.array(values))
    n = len(values)
    assert 1 / (n + 1) <= pvalue(calibration, distance + more) <= pvalue(calibration, distance) <= 1


def test_of_exchangeable_distances_just_so_many_are_out_of_distribution() -> None:
    """Whatever the distribution is: P(p <= 0.05) is 0.05 of 99 calibration distances."""
    rng = np.random.default_rng(0)
    draws = rng.lognormal(size=(20_000, 100))
    low = [pvalue(np.sort(row[1:]), row[0]) <= 0.05 for row in draws]
    assert np.mean(low) == pytest.approx(0.05, abs=0.005)


def test_mahalanobis_over_all_axes_is_the_textbook_one() -> None:
    rng = np.random.default_rng(1)
    points = (rng.normal(size=(500, 6)) * [1, 2, 3, 4, 5, 6]).astype(np.float32)
    mean, covariance = points.mean(0), np.cov(points.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    shift = points[0] - mean
    expected = float(shift @ np.linalg.inv(covariance) @ shift)
    assert mahalanobis(shift, vectors.T.astype(np.float32), values, 0.0) == pytest.approx(expected, rel=1e-4)
    some = mahalanobis(shift, vectors.T[3:].astype(np.float32), values[3:], 2.0)
    left = float(shift @ shift) - float(((vectors.T[3:] @ shift) ** 2).sum())
    assert some == pytest.approx(float((((vectors.T[3:] @ shift) ** 2) / values[3:]).sum()) + left / 2, rel=1e-4)


def test_finely_cut_texts_are_farther() -> None:
    assert fragmentation(4, 20) < fragmentation(12, 20) < fragmentation(20, 20)


def test_pieces_of_what_the_vocabulary_does_not_know_count_their_characters() -> None:
    cut = bundle().request_tower.pieces
    assert cut("more drama") == (2, 10)
    assert cut("more  qwertz") == (1 + 6, 11)
    assert cut("") == (0, 0)
    many = " ".join(["river"] * 50)
    pieces, characters = cut(many)
    assert pieces / characters == pytest.approx(1 / 6, rel=0.05)  # only of what is read


def test_a_bundle_tells_gibberish_from_phrasings_that_it_never_heard() -> None:
    told, tower, rng = bundle().familiarity, bundle().request_tower, random.Random(3)
    assert told is not None

    def share(requests: list[Asked]) -> float:
        found = [told(r.text, tower.embed(request_text(r.text, r.context))) for r in requests]
        return float(np.mean([one.ood for one in found]))

    def word() -> str:
        return "".join(rng.choices(string.ascii_lowercase, k=rng.randint(4, 9)))

    dev = draw_requests(load_dataset(data()), "dev", 20, 0.5)
    assert share(dev) < 0.15
    assert share([Asked("".join(word() + " " for _ in range(40))[:60], each.context) for each in dev]) > 0.9


def test_quantiles_are_uniform_where_they_were_made() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(400, DIMENSION)).astype(np.float32) + 0.3
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = draw_requests(load_dataset(data()), "dev", 5)
    made = references(bundle().request_tower, asked, vectors)
    places = Projections(msgspec.json.decode(msgspec.json.encode(made.item), type=type(made.item)), DIMENSION)
    quantiles = np.array([places.quantiles(vector) for vector in vectors])  # (n, projections)
    assert quantiles.shape == (400, len(PROJECTIONS))
    counts = np.stack([np.histogram(column, 10, (0, 1))[0] for column in quantiles.T])
    assert np.abs(counts - 40).max() <= 4
    assert places.quantiles(-vectors[0])[0] == 0


def test_a_reference_of_another_dimension_is_refused() -> None:
    known = bundle().calibration.references
    assert known is not None
    with pytest.raises(BundleError, match="64 dimensions"):
        Requests(known.request, 64, bundle().request_tower.pieces)


def test_a_calibration_without_references_still_serves() -> None:
    old = msgspec.json.decode(b'{"slope": 1.5, "intercept": -1}', type=BundleCalibration)
    assert (old.slope, old.references, old.canaries) == (1.5, None, None)


def test_it_is_worked_out_once_and_stays_with_the_control() -> None:
    embedder = RequestEmbedder(bundle())
    text = "zqxwvj" * 12
    assert embedder.familiarity(text, None) is None
    control = embedder.control(ControlRequest(event_id="e", user_id="u", op="set", created_at=5.0, text=text))
    told = embedder.familiarity(text, None)
    assert told is not None
    assert told.ood
    assert control.ood
    assert Steering.of(control).ood
    assert embedder.familiarity(text, None) is told
    drawn = [each.text for each in draw_requests(load_dataset(data()), "dev", 2)]
    usual = [ControlRequest(event_id="e", user_id="u", op="set", created_at=5.0, text=text) for text in drawn]
    assert np.mean([embedder.control(each).ood for each in usual]) < 0.5


def test_items_have_places_too() -> None:
    embedder = RequestEmbedder(bundle())
    places = embedder.item_quantiles(embedder.item_vector(ItemUpsert(item_id="new", text="river secrets: drama")))
    assert places is not None
    assert len(places) == len(PROJECTIONS)
    assert all(0 <= place <= 1 for place in places)
