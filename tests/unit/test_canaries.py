import asyncio
from math import log2
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from exporters.canaries import draw_canaries
from monitoring.metrics import Metrics
from monitoring.quality import CANARIES
from ranker.canaries import Canary, CanarySet, means, measure, ndcg
from ranker.data import load_dataset
from ranker.embed import RequestEmbedder
from ranker.vectors import ItemVectors, quantize_request
from streams.agents import Agents, Serving
from streams.canaries import Canaries
from tests.smallbundle import SmallBundle
from tests.unit.tiny_towers import bundle, data


def test_ndcg_is_the_formula() -> None:
    assert ndcg([1.0, 0.0, 0.5]) == pytest.approx((1 + 0.5 / log2(4)) / (1 + 0.5 / log2(3)))
    assert ndcg([0.5, 0.5]) == 1
    assert ndcg([0.0, 0.0]) == 1
    assert ndcg([0.0] * 10 + [1.0]) == 0


def test_canaries_of_a_catalogue_have_wishes_paraphrases_and_refusals() -> None:
    canaries = draw_canaries(load_dataset(data()))
    assert {each.kind for each in canaries} == set(CANARIES)
    assert canaries == draw_canaries(load_dataset(data()))
    for wish, paraphrase, refusal in zip(canaries[::3], canaries[1::3], canaries[2::3], strict=True):
        assert wish.item_ids == paraphrase.item_ids == refusal.item_ids
        assert wish.relevance == paraphrase.relevance
        assert np.allclose(np.array(wish.relevance) + refusal.relevance, 1, atol=2e-3)
        assert 0 < sum(score >= 0.5 for score in wish.relevance) < len(wish.relevance)


def test_a_bundle_keeps_its_promise_until_its_vectors_are_shuffled() -> None:
    known, model = bundle().canaries, bundle().model(0.5)
    assert known is not None

    def figures(served: Any) -> list[float]:
        return [
            measure(each, quantize_request(bundle().request_tower.embed(each.text)), served) for each in known.canaries
        ]

    now = means(known.canaries, figures(model))
    assert {kind: round(value, 4) for kind, value in now.items()} == known.baseline
    ids = [f"i{number}" for number in range(50)]
    rows = model.items.rows(ids)
    values = np.stack([model.items._values[row] for row in rows])
    shuffled = ItemVectors(ids, np.roll(values, 7, axis=0), np.ones(50, np.float32))
    assert figures(model._replace(items=shuffled)) != figures(model)


def small() -> tuple[SmallBundle, CanarySet]:
    """Of a bundle whose order for the text is known to be what it is."""
    made = SmallBundle()
    ids = [f"i{n}" for n in range(50)]
    vector = RequestEmbedder(made).uncached("ghosts")
    best = made.items.scores(made.items.rows(ids), vector.floats())
    relevance = (best - best.min()) / (best.max() - best.min())
    made.canaries = CanarySet([Canary("wish", "ghosts", ids, relevance.tolist())], {"wish": 1.0})
    return made, made.canaries


def run(made: SmallBundle, agents: Any, seconds: float = 0.3) -> CollectorRegistry:
    registry = CollectorRegistry()

    async def follow() -> None:
        runner = Canaries(cast(Agents, agents), Metrics(registry), 60.0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(runner.follow(), seconds)

    asyncio.run(follow())
    return registry


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"feedranker_canary_{name}", labels)


def test_they_run_through_what_serves() -> None:
    made, _ = small()
    serving = Serving(made.model(), RequestEmbedder(made), cast(Any, None))
    registry = run(made, SimpleNamespace(serving=serving))
    assert value(registry, "ndcg_ratio", kind="wish") == pytest.approx(1)
    assert value(registry, "baseline_ndcg_ratio", kind="wish") == 1
    assert value(registry, "baseline_ndcg_ratio", kind="refusal") == 0
    assert (value(registry, "last_run_timestamp_seconds") or 0) > 1e9
    assert made.request_tower.calls.count("ghosts") == 2  # once to make them, once run; not once a second


def test_a_bundle_without_canaries_promises_nothing() -> None:
    made = SmallBundle()
    serving = Serving(made.model(), RequestEmbedder(made), cast(Any, None))
    registry = run(made, SimpleNamespace(serving=serving))
    assert value(registry, "baseline_ndcg_ratio", kind="wish") == 0
    assert value(registry, "last_run_timestamp_seconds") == 0


def test_a_tower_that_fails_is_told_and_ends_nothing() -> None:
    made, known = small()
    broken = RequestEmbedder(made)
    broken.uncached = lambda _text: [][1]  # type: ignore[method-assign, assignment]
    registry = run(made, SimpleNamespace(serving=Serving(made.model(), broken, cast(Any, None))))
    assert known.baseline == {"wish": 1.0}
    assert value(registry, "ndcg_ratio", kind="wish") == 0
    assert (value(registry, "last_run_timestamp_seconds") or 0) > 1e9


def test_old_figures_are_not_held_against_a_new_baseline() -> None:
    registry = CollectorRegistry()
    quality = Metrics(registry).quality

    def pair() -> tuple[float | None, ...]:
        names = (f"feedranker_canary_{name}" for name in ("ndcg_ratio", "baseline_ndcg_ratio"))
        return tuple(registry.get_sample_value(name, {"kind": "wish"}) for name in names)

    quality.canaries(1.0, {}, {"wish": 0.5})
    assert pair() == (0.0, 0.5)
    quality.canaries(2.0, {"wish": 0.5}, {"wish": 0.5})
    quality.canaries(3.0, {}, {"wish": 0.9})
    assert pair() == (0.5, 0.5)
    quality.canaries(4.0, {"wish": 0.8}, {"wish": 0.9})
    assert pair() == (0.8, 0.9)
    quality.canaries(5.0, {}, {})
    assert pair() == (0.8, 0.0)
