"""The catalogue of metrics, each defined once: here, and in monitoring/quality.py those of what requests and rankings are
worth. Methods take plain numbers and know nothing of Kafka or rankings.

Label sets are closed and every series is there from the start, so that a rate over a rare event is 0 and not absent; a
value outside its set is a bug, and a KeyError.
"""

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry

from monitoring.define import Definitions
from monitoring.quality import Quality
from monitoring.runs import OUTCOMES, STAGES, CandidateRun

TOPICS = ("requests", "candidates", "items")
REASONS = ("malformed", "schema", "too_large", "rate", "deadline", "model", "bug")
SWAPS = ("taken", "refused")

SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LONG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""For what can be stuck for long. The freshness objective is 5 s."""
ITEMS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0)


class Metrics:
    """One worker's metrics, in `registry`. Create it once per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        define = Definitions(registry)
        counter, gauge, histogram = define.counter, define.gauge, define.histogram
        self.definitions = define.all
        self.quality = Quality(define)

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
            "consumer_lag_events", "End offset less committed offset; absent while the broker does not tell it",
            "consumer_lag", topic=(), partition=(),
        )  # fmt: skip
        self._lag_told = gauge(
            "consumer_lag_timestamp_seconds", "When the broker last told how much waits", "consumer_lag"
        )
        self._rebalances = counter("rebalances_total", "Times that partitions were assigned anew", "rebalanced")
        rebalance = histogram(
            "rebalance_duration_seconds", "From losing partitions to having new ones", LONG_SECONDS, "rebalanced"
        )
        self._rebalance = rebalance.labels()

        self._partitions = gauge("assigned_partitions", "Partitions of candidate lists that it ranks", "holds")
        self._controls = gauge("controls_active", "Controls held in memory", "holds")
        self._items = gauge("item_vectors", "Items that have a vector", "holds")
        self._items_built = gauge(
            "item_vectors_built_timestamp_seconds", "When the bundle's item vectors were written", "bundle"
        )
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

    def cache_requests(self, hits: int = 0, misses: int = 0, stale: int = 0) -> None:
        """So many look-ups of request vectors since the last call; `stale` were vectors of another bundle, which the
        topic of controls held, and which were looked up again by their text."""
        for result, count in (("hit", hits), ("miss", misses), ("stale", stale)):
            self._cache.labels("requests", result).inc(count)

    def rebalanced(self, seconds: float) -> None:
        """Partitions were assigned anew, `seconds` after the former ones were given up."""
        self._rebalances.inc()
        self._rebalance.observe(seconds)

    def consumer_lag(self, lags: Mapping[tuple[str, int], int] | None, now: float) -> None:
        """Events not yet committed, by topic and partition; partitions that are not named are no longer ours. None where
        the broker did not tell at `now`: the last figures would pass for what waits."""
        self._consumer_lag.clear()
        if lags is not None:
            for (topic, partition), events in lags.items():
                self._consumer_lag.labels(topic, str(partition)).set(events)
            self._lag_told.set(now)

    def holds(self, *, controls: int | None = None, items: int | None = None, partitions: int | None = None) -> None:
        """What is in memory, controls and item vectors, and how many partitions of candidate lists are the worker's."""
        for gauge, value in ((self._controls, controls), (self._items, items), (self._partitions, partitions)):
            if value is not None:
                gauge.set(value)

    def beat(self, now: float, lag: float) -> None:
        """The event loop woke up, `lag` seconds late."""
        self._heartbeat.set(now)
        self._loop_lag.observe(max(0.0, lag))

    def build(self, version: str, python: str) -> None:
        """The worker starts."""
        self._build.info({"version": version, "python": python})

    def bundle(self, name: str, version: str, built_at: float) -> None:
        """A bundle is served from now on; its item vectors were written at `built_at`."""
        self._bundle.info({"name": name, "version": version})
        self._items_built.set(built_at)

    def bundle_swap(self, result: str) -> None:
        """An activated bundle was `taken` into service while the worker ran, or `refused`."""
        self._swaps[result].inc()
