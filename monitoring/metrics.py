"""The catalogue of metrics: each defined once, here. Methods take plain numbers and know nothing of Kafka or rankings.

Label sets are closed and every series is there from the start, so that a rate over a rare event is 0 and not absent; a
value outside its set is a bug, and a KeyError.
"""

from collections.abc import Mapping, Sequence
from math import isfinite

from prometheus_client import CollectorRegistry

from monitoring.define import Definitions
from monitoring.runs import OUTCOMES, STAGES, CandidateRun

TOPICS = ("requests", "candidates", "items")
REASONS = ("malformed", "schema", "too_large", "rate", "deadline", "model", "bug")
OPS = ("set", "clear")
SWAPS = ("taken", "refused")
TOWERS = ("request", "item")
PROJECTIONS = ("centroid", "pc1", "pc2")
CANARIES = ("wish", "paraphrase", "refusal")
_FLAGS = ("0", "1")

SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LONG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""For what can be stuck for long. The freshness objective is 5 s."""
DECILES = tuple(step / 10 for step in range(1, 11))
RATIO = tuple(step / 20 for step in range(1, 21))
ITEMS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0)

ADHERENT_GAIN = 0.1
"""From this share of the headroom on, a ranking counts as following the request."""
CONFLICT_TAU = 0.3
"""Below this correlation the platform's order and the request's disagree ..."""
DOMINATED_OVERLAP, DOMINATED_TAU = 0.9, 0.8
"""... and from these on, the platform's order has won."""


class Metrics:
    """One worker's metrics, in `registry`. Create it once per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        define = Definitions(registry)
        counter, gauge, histogram = define.counter, define.gauge, define.histogram
        self.definitions = define.all

        end_to_end = histogram(
            "end_to_end_duration_seconds", "Candidate list made to its ranking confirmed", SECONDS, "emitted"
        )
        self._end_to_end = end_to_end.labels()
        stages = histogram(
            "stage_duration_seconds",
            "Time per list and stage (a batch's, shared out)",
            SECONDS,
            "ranked, emitted, stage",
            stage=STAGES,
        )
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        rankings = counter("rankings_total", "Candidate lists by what became of them", "ranked", outcome=OUTCOMES)
        self._outcomes = {outcome: rankings.labels(outcome) for outcome in OUTCOMES}
        ages = histogram(
            "event_age_seconds", "Age of events when they are consumed", LONG_SECONDS, "ranked, consumed", topic=TOPICS
        )
        self._ages = {topic: ages.labels(topic) for topic in TOPICS}
        skewed = counter(
            "clock_skew_events_total", "Events dated later than they were consumed", "ranked, consumed", topic=TOPICS
        )
        self._skewed = {topic: skewed.labels(topic) for topic in TOPICS}
        self._sizes = histogram("candidates_per_list", "Items in a candidate list", ITEMS, "ranked").labels()
        self._unknown = counter("unknown_items_total", "Candidates without a vector", "ranked")

        alignment = histogram(
            "alignment_ratio", "Alignment of the top with the request", RATIO, "adherence", ranking=("fused", "base")
        )
        self._alignment = {ranking: alignment.labels(ranking) for ranking in ("fused", "base")}
        gain = histogram(
            "adherence_gain_ratio",
            "(1 + gain) / 2, the share of the headroom that was won",
            RATIO,
            "adherence",
            ood=_FLAGS,
        )
        self._gain = [gain.labels(ood) for ood in _FLAGS]
        squares = counter(
            "adherence_gain_squares_total", "Sum of squared gains, for standard errors", "adherence", ood=_FLAGS
        )
        self._gain_squares = [squares.labels(ood) for ood in _FLAGS]
        self._evaluations = counter(
            "adherence_evaluations_total", "Sampled rankings by whether they follow the request", "adherence",
            result=("adherent", "nonadherent", "no_headroom", "invalid"),
        )  # fmt: skip
        pairs = ("fused_base", "fused_request", "base_request")
        correlation = histogram(
            "order_correlation_ratio", "(1 + Kendall's tau) / 2 of two orders", RATIO, "order_correlation", pair=pairs
        )
        self._correlation = {pair: correlation.labels(pair) for pair in pairs}
        self._overlap = histogram(
            "topk_overlap_ratio", "Share of the base top still on top", RATIO, "adherence"
        ).labels()
        self._conflicts = counter(
            "conflict_rankings_total",
            "Sampled rankings whose platform and request disagree",
            "order_correlation",
            dominated=_FLAGS,
        )

        requests = counter("control_requests_total", "Control requests", "control_request", op=OPS, ood=_FLAGS)
        self._control_requests = {op: [requests.labels(op, ood) for ood in _FLAGS] for op in OPS}
        pvalues = histogram(
            "request_ood_pvalue_ratio", "Conformal p-value of requests; up to 0.05 is ood", RATIO, "familiarity"
        )
        self._pvalues = pvalues.labels()
        quantiles = histogram(
            "embedding_quantile_ratio", "Where familiar requests, and items, lie among the bundle's", DECILES,
            "familiarity, item_place", tower=TOWERS, projection=PROJECTIONS,
        )  # fmt: skip
        self._places = {tower: [quantiles.labels(tower, each) for each in PROJECTIONS] for tower in TOWERS}
        dead_letters = counter("dead_letters_total", "Events beyond processing", "dead_letter", reason=REASONS)
        self._dead_letters = {reason: dead_letters.labels(reason) for reason in REASONS}
        self._cache = counter(
            "cache_requests_total",
            "Look-ups of vectors",
            "cache_requests",
            cache=("requests",),
            result=("hit", "miss", "stale"),
        )
        last_event = gauge(
            "last_event_timestamp_seconds", "When an event was last consumed", "ranked, consumed", topic=TOPICS
        )
        self._last_event = {topic: last_event.labels(topic) for topic in TOPICS}
        self._last_ranking = gauge("last_ranking_timestamp_seconds", "When a ranking was last confirmed", "emitted")
        self._consumer_lag = gauge(
            "consumer_lag_events", "End offset less committed offset", "consumer_lag", topic=(), partition=()
        )
        self._rebalances = counter("rebalances_total", "Times that partitions were assigned anew", "rebalanced")
        rebalance = histogram(
            "rebalance_duration_seconds", "From losing partitions to having new ones", LONG_SECONDS, "rebalanced"
        )
        self._rebalance = rebalance.labels()

        self._controls = gauge("controls_active", "Controls held in memory", "holds")
        self._items = gauge("item_vectors", "Items that have a vector", "holds")
        canary = gauge("canary_ndcg_ratio", "nDCG of golden requests, by the rule judge", "canaries", kind=CANARIES)
        baseline = gauge(
            "canary_baseline_ndcg_ratio", "The same when the bundle was made; 0: it has none", "canaries", kind=CANARIES
        )
        self._canaries = {kind: (canary.labels(kind), baseline.labels(kind)) for kind in CANARIES}
        self._canary_run = gauge("canary_last_run_timestamp_seconds", "When golden requests were last run", "canaries")
        self._loop_lag = histogram("event_loop_lag_seconds", "How late the loop wakes up", SECONDS, "beat").labels()
        self._heartbeat = gauge("heartbeat_timestamp_seconds", "When the event loop last woke up", "beat")
        swaps = counter(
            "bundle_swaps_total", "Bundles that were activated, by whether they serve", "bundle_swap", result=SWAPS
        )
        self._swaps = {result: swaps.labels(result) for result in SWAPS}
        self._build = define.info("build_info", "What runs", "build", "version", "python")
        self._bundle = define.info("bundle_info", "What it ranks with", "bundle", "name", "version")

    def ranked(self, run: CandidateRun) -> None:
        """Count what was noted of a run of candidate lists that were consumed and ranked."""
        for stage, batches in run.stages.items():
            for seconds, lists in batches:
                self._stages[stage].observe(seconds, lists)
        for outcome, count in run.outcomes.items():
            if count:
                self._outcomes[outcome].inc(count)
        if run.unknown_items:
            self._unknown.inc(run.unknown_items)
        self._sizes.observe_many(run.sizes)
        self.consumed("candidates", run.created_at, run.received_at)

    def emitted(self, run: CandidateRun, now: float, waited: float) -> None:
        """All rankings of the run are confirmed at `now`, `waited` seconds after they were handed over."""
        lists = len(run.created_at)
        if lists:
            self._stages["emit"].observe(waited, lists)
            self._end_to_end.observe_many([max(0.0, now - created_at) for created_at in run.created_at])
            self._last_ranking.set(now)

    def consumed(self, topic: str, created_at: Sequence[float], now: float) -> None:
        """Events of one of `TOPICS`, made at these times, were consumed at `now`."""
        ages = [now - moment for moment in created_at]
        if ages and min(ages) < 0:
            self._skewed[topic].inc(sum(age < 0 for age in ages))
            ages = [max(0.0, age) for age in ages]
        self._ages[topic].observe_many(ages)
        self._last_event[topic].set(now)

    def stage(self, name: str, seconds: float) -> None:
        """One passage through a stage outside a run of candidate lists, such as the embedding of a control request."""
        self._stages[name].observe(seconds)

    def dead_letter(self, reason: str) -> None:
        """An event of any topic became a dead letter, for one of `REASONS`."""
        self._dead_letters[reason].inc()

    def control_request(self, op: str, ood: bool = False) -> None:
        """A control request, `set` or `clear`; `ood` where it is unlike anything that the towers were trained on."""
        self._control_requests[op][ood].inc()

    def familiarity(self, pvalue: float, quantiles: Sequence[float], *, ood: bool) -> None:
        """A request that was `set`: its p-value and, unless it is `ood`, its quantile in each of `PROJECTIONS`."""
        self._pvalues.observe(pvalue)
        if not ood:
            self._place("request", quantiles)

    def item_place(self, quantiles: Sequence[float]) -> None:
        """An item was embedded: its quantile in each of `PROJECTIONS`, or nothing where the bundle cannot tell."""
        self._place("item", quantiles)

    def _place(self, tower: str, quantiles: Sequence[float]) -> None:
        for place, quantile in zip(self._places[tower], quantiles, strict=False):
            place.observe(quantile)

    def canaries(self, now: float, ndcg: Mapping[str, float], baseline: Mapping[str, float]) -> None:
        """Golden requests were run through the bundle, or with nothing in `ndcg` are about to be; by kind."""
        for kind, (measured, promised) in self._canaries.items():
            promised.set(baseline.get(kind, 0.0))
            if kind in ndcg:
                measured.set(ndcg[kind])
        if ndcg:
            self._canary_run.set(now)

    def cache_requests(self, hits: int = 0, misses: int = 0, stale: int = 0) -> None:
        """So many look-ups of request vectors since the last call."""
        for result, count in (("hit", hits), ("miss", misses), ("stale", stale)):
            self._cache.labels("requests", result).inc(count)

    def adherence(self, *, base: float, fused: float, gain: float | None, overlap: float, ood: bool = False) -> None:
        """One sampled ranking: alignments and overlap in 0..1; `gain` at most 1, None without headroom."""
        if not all(map(isfinite, (base, fused, overlap, 0.0 if gain is None else gain))):
            self._evaluations.labels("invalid").inc()
            return
        self._alignment["base"].observe(base)
        self._alignment["fused"].observe(fused)
        self._overlap.observe(overlap)
        if gain is None:
            self._evaluations.labels("no_headroom").inc()
            return
        # A list that was nearly in its best order can lose many times its headroom; once is enough to say so.
        gain = min(1.0, max(-1.0, gain))
        self._gain[ood].observe((1 + gain) / 2)
        self._gain_squares[ood].inc(gain * gain)
        self._evaluations.labels("adherent" if gain >= ADHERENT_GAIN else "nonadherent").inc()

    def order_correlation(
        self, *, fused_base: float, fused_request: float, base_request: float, overlap: float
    ) -> None:
        """Kendall's taus, in -1..1, of the three orders of one sampled ranking, and the overlap of its top."""
        taus = {"fused_base": fused_base, "fused_request": fused_request, "base_request": base_request}
        for pair, tau in taus.items():
            self._correlation[pair].observe((1 + tau) / 2)
        if base_request < CONFLICT_TAU:
            dominated = overlap >= DOMINATED_OVERLAP and fused_base >= DOMINATED_TAU
            self._conflicts.labels(_FLAGS[dominated]).inc()

    def rebalanced(self, seconds: float) -> None:
        """Partitions were assigned anew, `seconds` after the former ones were given up."""
        self._rebalances.inc()
        self._rebalance.observe(seconds)

    def consumer_lag(self, lags: Mapping[tuple[str, int], int]) -> None:
        """Events not yet committed, by topic and partition; partitions that are not named are no longer ours."""
        self._consumer_lag.clear()
        for (topic, partition), events in lags.items():
            self._consumer_lag.labels(topic, str(partition)).set(events)

    def holds(self, *, controls: int | None = None, items: int | None = None) -> None:
        """What is in memory: controls and item vectors."""
        for gauge, value in ((self._controls, controls), (self._items, items)):
            if value is not None:
                gauge.set(value)

    def beat(self, now: float, lag: float) -> None:
        """The event loop woke up, `lag` seconds late."""
        self._heartbeat.set(now)
        self._loop_lag.observe(max(0.0, lag))

    def build(self, version: str, python: str) -> None:
        """The worker starts."""
        self._build.info({"version": version, "python": python})

    def bundle(self, name: str, version: str) -> None:
        """A bundle is served from now on."""
        self._bundle.info({"name": name, "version": version})

    def bundle_swap(self, result: str) -> None:
        """An activated bundle was `taken` into service while the worker ran, or `refused`."""
        self._swaps[result].inc()
