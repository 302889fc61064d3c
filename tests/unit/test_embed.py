from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.embed import RequestEmbedder
from ranker.errors import BadEvent
from ranker.events import ControlRequest, ItemUpsert
from ranker.requesttext import request_text
from ranker.vectors import Floats, quantize, quantize_request
from tests.smallbundle import DIMENSION, HashTower, SmallBundle


def request(text: str | None, **more: object) -> ControlRequest:
    return ControlRequest(event_id="e", user_id="u", op="set", created_at=5.0, text=text, **more)  # type: ignore[arg-type]


def test_a_request_becomes_a_control(bundle: SmallBundle) -> None:
    control = RequestEmbedder(bundle).control(request("no horror", context="likes noir", weight=0.3, expires_at=9.0))
    expected = quantize_request(HashTower().embed(request_text("no horror", "likes noir")))
    assert (control.vector, control.scale) == expected
    assert (control.request_id, control.user_id, control.bundle) == ("e", "u", "small")
    assert (control.text, control.context, control.weight) == ("no horror", "likes noir", 0.3)
    assert (control.expires_at, control.created_at) == (9.0, 5.0)


def test_an_item_becomes_a_vector_of_the_item_tower(bundle: SmallBundle) -> None:
    item = RequestEmbedder(bundle).item_vector(ItemUpsert(item_id="new", text="a film"))
    assert (item.vector, item.scale) == quantize(HashTower().embed("a film"))
    assert (item.item_id, item.text, item.bundle) == ("new", "a film", "small")
    assert bundle.item_tower.calls == ["a film"]
    assert bundle.request_tower.calls == []


def test_a_text_is_embedded_once(bundle: SmallBundle) -> None:
    embedder = RequestEmbedder(bundle)
    assert embedder.cached("no horror", None) is None
    first = embedder.quantized("no horror", None)
    assert embedder.cached("no  horror ", None) == first  # the tower reads the same
    assert embedder.quantized("no horror", None) == first
    assert embedder.quantized("no horror", "likes noir") != first
    assert len(bundle.request_tower.calls) == 2
    assert (embedder.hits, embedder.misses) == (2, 2)


@given(st.lists(st.sampled_from("abcdefgh"), max_size=60), st.integers(1, 5))
def test_the_cache_is_bounded_keeps_the_latest_and_never_lies(texts: list[str], size: int) -> None:
    bundle = SmallBundle(items=1)
    embedder = RequestEmbedder(bundle, cache=size)
    for text in texts:
        assert embedder.quantized(text, None) == quantize_request(HashTower().embed(text))
        assert len(embedder) <= size
    latest = list(dict.fromkeys(reversed(texts)))
    assert [text for text in latest if embedder.cached(text, None)] == latest[:size]
    assert embedder.misses == len(bundle.request_tower.calls)


@pytest.mark.parametrize("text", [" ", "\n\t", "\u2003"])
def test_blank_texts_are_refused(bundle: SmallBundle, text: str) -> None:
    embedder = RequestEmbedder(bundle)
    for refused in (
        lambda: embedder.control(request(text)),
        lambda: embedder.item_vector(ItemUpsert(item_id="i", text=text)),
    ):
        with pytest.raises(BadEvent, match="blank") as error:
            refused()
        assert error.value.reason == "schema"


def test_a_set_without_a_text_is_refused(bundle: SmallBundle) -> None:
    with pytest.raises(BadEvent, match="no text"):
        RequestEmbedder(bundle).control(request(None))


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_a_tower_that_gives_no_direction_is_a_model_error(bundle: SmallBundle, value: float) -> None:
    class Broken(HashTower):
        def embed(self, text: str) -> Floats:
            return np.full(DIMENSION, value, np.float32)

    bundle.request_tower = Broken()
    embedder = RequestEmbedder(bundle)
    with pytest.raises(BadEvent) as error:
        embedder.quantized("x", None)
    assert error.value.reason == "model"
    assert len(embedder) == 0


def test_many_threads_agree(bundle: SmallBundle) -> None:
    embedder = RequestEmbedder(bundle, cache=20)
    texts = [f"request {n % 40}" for n in range(2000)]
    with ThreadPoolExecutor(8) as pool:
        vectors = list(pool.map(lambda text: embedder.quantized(text, None), texts))
    assert vectors == [quantize_request(HashTower().embed(text)) for text in texts]
    assert len(embedder) == 20
    assert embedder.hits + embedder.misses == len(texts)
