import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client import Histogram as Reference

from monitoring.histogram import Histogram
from monitoring.metrics import LONG_SECONDS, REASONS, SECONDS, Metrics
from monitoring.quality import OPS, RATIO
from monitoring.runs import OUTCOMES, STAGES, CandidateRun
from ranker.errors import BadEvent


class Scrape:
    """Reads a fresh registry by the names that dashboards use."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)

    def __call__(self, name: str, /, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"feedranker_{name}", labels)


@pytest.fixture
def scrape() -> Scrape:
    return Scrape()


def run_of(*created_at: float, received_at: float = 1000.0) -> CandidateRun:
    """Two of the lists are ranked at a time."""
    run = CandidateRun(received_at)
    for first in range(0, len(created_at), 2):
        batch = created_at[first : first + 2]
        run.start()
        for stage in ("decode", "control", "gather", "fuse", "encode"):
            run.lap(stage, len(batch))
        run.ranked(batch, [200] * len(batch), 3 * len(batch), ["controlled"] * len(batch))
    return run


any_floats = st.lists(st.floats(0, 10) | st.sampled_from(SECONDS), max_size=60)


@given(any_floats)
def test_a_batch_counts_as_prometheus_client_would(values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("h", "h", SECONDS, ours, Counter("refused", "", registry=ours))
    reference = Reference("h", "h", registry=theirs, buckets=SECONDS)
    histogram.labels().observe_many(values)
    for value in values:
        reference.observe(value)

    def samples(registry: CollectorRegistry) -> dict[tuple[str, str | None], float]:
        families = [family for family in registry.collect() if family.name == "h"]
        return {(s.name, s.labels.get("le")): s.value for s in families[0].samples if not s.name.endswith("_created")}

    expected = samples(theirs)
    total = expected.pop(("h_sum", None))
    actual = samples(ours)
    assert actual.pop(("h_sum", None)) == pytest.approx(total)
    assert actual == expected


@pytest.mark.parametrize("extra", [0, 100])
def test_what_is_too_large_to_add_is_refused(extra: int) -> None:
    registry = CollectorRegistry()
    child = Histogram("h", "h", SECONDS, registry, Counter("refused", "", registry=registry)).labels()
    child.observe(1.7e308)
    child.observe(1.7e308)
    child.observe_many([1.0] * extra + [1.7e308])
    assert registry.get_sample_value("h_count") == 1 + extra
    assert registry.get_sample_value("h_sum") == 1.7e308
    assert registry.get_sample_value("refused_total") == 2


@given(any_floats, st.lists(st.sampled_from([math.nan, math.inf, -math.inf])))
def test_what_is_not_finite_is_refused_and_counted(good: list[float], bad: list[float]) -> None:
    registry = CollectorRegistry()
    histogram = Histogram("h", "h", SECONDS, registry, Counter("refused", "", registry=registry))
    histogram.labels().observe_many([*good, *bad])
    for value in bad:
        histogram.labels().observe(value)
    assert registry.get_sample_value("h_count") == len(good)
    assert registry.get_sample_value("h_sum") == pytest.approx(sum(good))
    assert registry.get_sample_value("refused_total") == 2 * len(bad)


def test_a_run_of_lists(scrape: Scrape) -> None:
    run = run_of(999.0, 999.8, 1000.5)
    run.failed("bug")
    run.failed("schema")
    scrape.metrics.ranked(run)
    scrape.metrics.emitted(run, 1000.1, 0.02)
    assert scrape("rankings_total", outcome="controlled") == 3
    assert scrape("rankings_total", outcome="error") == 1
    assert scrape("rankings_total", outcome="refused") == 1
    assert scrape("unknown_items_total") == 9
    assert scrape("candidates_per_list_sum") == 600
    assert scrape("stage_duration_seconds_count", stage="gather") == 3
    assert scrape("stage_duration_seconds_count", stage="embed") == 0
    assert scrape("stage_duration_seconds_sum", stage="emit") == pytest.approx(0.06)
    # The third was made after it was received: a clock is wrong, and its ages count as none.
    assert scrape("clock_skew_events_total", topic="candidates") == 1
    assert scrape("event_age_seconds_sum", topic="candidates") == pytest.approx(1.2)
    assert scrape("end_to_end_duration_seconds_sum") == pytest.approx(1.1 + 0.3 + 0)
    assert scrape("last_event_timestamp_seconds", topic="candidates") == 1000.0
    assert scrape("last_ranking_timestamp_seconds") == 1000.1


@pytest.mark.parametrize("reason", REASONS)
def test_only_our_own_faults_are_errors(scrape: Scrape, reason: str) -> None:
    run = CandidateRun(0.0)
    run.failed(reason)
    scrape.metrics.ranked(run)
    outcome = "refused" if reason in ("malformed", "schema", "too_large", "rate") else "error"
    assert {each: scrape("rankings_total", outcome=each) for each in OUTCOMES} == dict.fromkeys(OUTCOMES, 0.0) | {
        outcome: 1.0
    }


def test_laps_add_up_to_the_time_that_passed() -> None:
    run = CandidateRun(0.0)
    began = time.perf_counter()
    run.start()
    for stage in STAGES:
        run.lap(stage, 3)
    spent = sum(seconds * lists for batches in run.stages.values() for seconds, lists in batches)
    assert 0 < spent <= time.perf_counter() - began
    with pytest.raises(KeyError):
        run.lap("lunch")


def test_a_batch_s_time_is_shared_out_among_its_lists(scrape: Scrape) -> None:
    run = CandidateRun(0.0)
    run.start()
    time.sleep(0.03)
    run.lap("fuse", 10)
    run.lap("encode", 0)  # no list came that far
    scrape.metrics.ranked(run)
    assert scrape("stage_duration_seconds_count", stage="fuse") == 10
    assert scrape("stage_duration_seconds_count", stage="encode") == 0
    assert scrape("stage_duration_seconds_bucket", stage="fuse", le="0.0025") == 0  # about 3 ms each
    total = scrape("stage_duration_seconds_sum", stage="fuse")
    assert total is not None
    assert total >= 0.03


@pytest.mark.parametrize(
    ("gain", "result", "ratio"),
    [(0.5, "adherent", 0.75), (0.1, "adherent", 0.55), (0.05, "nonadherent", 0.525), (-30.0, "nonadherent", 0.0)],
)
def test_adherence_gain(scrape: Scrape, gain: float, result: str, ratio: float) -> None:
    scrape.metrics.quality.adherence(base=0.4, fused=0.6, gain=gain, overlap=0.5)
    assert scrape("adherence_evaluations_total", result=result) == 1
    assert scrape("adherence_gain_ratio_sum", ood="0") == pytest.approx(ratio)
    assert scrape("adherence_gain_squares_total", ood="0") == pytest.approx(max(gain, -1) ** 2)
    assert scrape("alignment_ratio_sum", ranking="fused") == 0.6


def test_a_list_without_headroom_has_no_gain_and_a_nan_no_figures(scrape: Scrape) -> None:
    scrape.metrics.quality.adherence(base=0.4, fused=0.4, gain=None, overlap=1.0)
    scrape.metrics.quality.adherence(base=0.4, fused=math.nan, gain=0.5, overlap=1.0)
    assert scrape("adherence_evaluations_total", result="no_headroom") == 1
    assert scrape("adherence_evaluations_total", result="invalid") == 1
    assert scrape("adherence_gain_ratio_count", ood="0") == 0
    assert scrape("alignment_ratio_count", ranking="base") == 1


@pytest.mark.parametrize(
    ("fused_base", "base_request", "overlap", "conflicts"),
    [(0.9, 0.1, 0.9, (0, 1)), (0.5, 0.1, 0.9, (1, 0)), (0.9, 0.1, 0.5, (1, 0)), (0.9, 0.3, 1.0, (0, 0))],
)
def test_conflicts(
    scrape: Scrape, fused_base: float, base_request: float, overlap: float, conflicts: tuple[int, int]
) -> None:
    scrape.metrics.quality.order_correlation(
        fused_base=fused_base, fused_request=0.0, base_request=base_request, overlap=overlap
    )
    assert tuple(scrape("conflict_rankings_total", dominated=flag) for flag in "01") == conflicts
    assert scrape("order_correlation_ratio_sum", pair="fused_request") == 0.5


def test_the_rest(scrape: Scrape) -> None:
    metrics = scrape.metrics
    metrics.quality.control_request("set")
    metrics.cache_requests(hits=5, misses=2, stale=3)
    metrics.dead_letter("schema")
    metrics.rebalanced(4.0)
    metrics.holds(controls=7, items=1682, partitions=2)
    metrics.beat(55.0, -0.001)
    metrics.build("1.2", "3.11")
    metrics.bundle("movies", "abc", 77.0)
    metrics.consumer_lag({("candidates", 0): 5, ("candidates", 1): 6}, 50.0)
    metrics.consumer_lag({("candidates", 1): 7}, 55.0)
    assert scrape("control_requests_total", op="set", ood="0") == 1
    assert scrape("cache_requests_total", cache="requests", result="hit") == 5
    assert scrape("cache_requests_total", cache="requests", result="stale") == 3
    assert scrape("dead_letters_total", reason="schema") == 1
    assert scrape("rebalance_duration_seconds_sum") == 4
    assert scrape("controls_active") == 7
    assert scrape("item_vectors") == 1682
    assert scrape("assigned_partitions") == 2
    assert scrape("event_loop_lag_seconds_sum") == 0
    assert scrape("heartbeat_timestamp_seconds") == 55
    assert scrape("build_info", version="1.2", python="3.11") == 1
    assert scrape("bundle_info", name="movies", version="abc") == 1
    assert scrape("item_vectors_built_timestamp_seconds") == 77
    assert scrape("consumer_lag_events", topic="candidates", partition="0") is None
    assert scrape("consumer_lag_events", topic="candidates", partition="1") == 7
    assert scrape("consumer_lag_timestamp_seconds") == 55
    metrics.consumer_lag(None, 66.0)
    assert scrape("consumer_lag_events", topic="candidates", partition="1") is None
    assert scrape("consumer_lag_timestamp_seconds") == 55


def test_closed_label_sets_are_there_from_the_start(scrape: Scrape) -> None:
    assert all(scrape("rankings_total", outcome=outcome) == 0 for outcome in OUTCOMES)
    assert all(scrape("dead_letters_total", reason=reason) == 0 for reason in REASONS)
    assert all(scrape("control_requests_total", op=op, ood="1") == 0 for op in OPS)
    assert all(scrape("stage_duration_seconds_count", stage=stage) == 0 for stage in STAGES)
    assert REASONS == BadEvent.REASONS
    with pytest.raises(KeyError):
        scrape.metrics.dead_letter("what the user wrote")


def test_objectives_are_bounds_and_le_is_written_as_rules_expect(scrape: Scrape) -> None:
    assert 0.25 in SECONDS
    assert 5.0 in LONG_SECONDS
    assert {0.55, 0.65, 0.9, 1.0} <= set(RATIO)
    text = generate_latest(scrape.registry).decode()
    assert 'feedranker_end_to_end_duration_seconds_bucket{le="5e-05"} 0.0' in text
    assert 'feedranker_end_to_end_duration_seconds_bucket{le="1.0"} 0.0' in text
    assert 'feedranker_end_to_end_duration_seconds_bucket{le="+Inf"} 0.0' in text


def test_two_sets_of_metrics_do_not_fit_in_one_registry(scrape: Scrape) -> None:
    with pytest.raises(ValueError, match="Duplicated"):
        Metrics(scrape.registry)
