import pytest
from prometheus_client import CollectorRegistry

from monitoring.define import PREFIX
from monitoring.metrics import Metrics
from ranker.embed import RequestEmbedder
from ranker.events import CandidateList
from ranker.rank import rank
from ranker.run import Asked, Steering
from streams import sampling
from streams.sampling import Sampler
from tests.smallbundle import SmallBundle


class Bench:
    """A sampler with a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.bundle, self.registry = 1000.0, SmallBundle(), CollectorRegistry()
        self.model = self.bundle.model(1.0)
        self.sampler = Sampler(self.model, Metrics(self.registry))
        monkeypatch.setattr(sampling, "monotonic", lambda: self.now)

    def look(self, request_id: str | None, items: int = 50, own: str | None = None, user: str = "u") -> int:
        """Rank and look; how many rankings have been sampled by then."""
        vector = RequestEmbedder(self.bundle).quantized("text", None)
        steering = None
        if request_id is not None:
            steering = Steering(request_id, self.model.bundle, vector.floats(), vector.scale, None, None)
        ids = [f"i{n}" for n in range(items)]
        scores = [-float(n) for n in range(items)]
        event = CandidateList(event_id="e", user_id=user, item_ids=ids, base_scores=scores, created_at=1, request=own)
        self.sampler.look([(Asked(event, steering), rank(event, steering, self.model))])
        return int(self.value("topk_overlap_ratio_count"))

    def value(self, name: str, **labels: str) -> float:
        found = self.registry.get_sample_value(PREFIX + name, labels)
        assert found is not None
        return found


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_one_control_is_sampled_once_a_minute(bench: Bench) -> None:
    assert bench.look("a") == 1
    bench.now += 1
    assert bench.look("a") == 1
    assert bench.look("b") == 2
    bench.now += 59
    assert bench.look("a") == 3


def test_a_worker_samples_so_many_a_second(bench: Bench) -> None:
    samples = 0
    for number in range(1000):
        samples = bench.look(f"control {number}")
        bench.now += 0.001
    assert 16 <= samples <= 21


def test_without_a_control_there_is_nothing_to_measure(bench: Bench) -> None:
    assert bench.look(None) == 0


def test_what_is_remembered_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "REMEMBERED", 3)
    for number in range(5):
        bench.look(f"control {number}")
        bench.now += 0.1
    assert list(bench.sampler._sampled) == ["control 2", "control 3", "control 4"]


def test_orders_are_correlated_over_the_same_items(bench: Bench) -> None:
    """With weight 1 the fused order is the request's."""
    bench.look("a")
    assert bench.value("order_correlation_ratio_sum", pair="fused_request") == pytest.approx(1.0)
    fused_base = bench.value("order_correlation_ratio_sum", pair="fused_base")
    assert fused_base == pytest.approx(bench.value("order_correlation_ratio_sum", pair="base_request"))
    assert fused_base < 0.9


def test_a_list_of_one_item_has_no_order(bench: Bench) -> None:
    assert bench.look("a", items=1) == 1


def test_a_list_s_own_request_is_sampled_once_a_minute_too(bench: Bench) -> None:
    """Its id is the list's, and another for each."""
    assert bench.look("list 1", own="ghosts") == 1
    bench.now += 1
    assert bench.look("list 2", own="ghosts") == 1
    assert bench.look("list 3", own="ghosts", user="v") == 2
    bench.now += 1
    assert bench.look("list 4", own="trains") == 3
    bench.now += 60
    assert bench.look("list 5", own="ghosts") == 4
