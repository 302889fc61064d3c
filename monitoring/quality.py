"""What requests are like, and how far rankings follow them: the metrics of quality, each defined once, here."""

from collections.abc import Mapping, Sequence
from math import isfinite

from monitoring.define import Definitions

OPS = ("set", "clear")
TOWERS = ("request", "item")
PROJECTIONS = ("centroid", "pc1", "pc2")
CANARIES = ("wish", "paraphrase", "refusal")
_FLAGS = ("0", "1")

DECILES = tuple(step / 10 for step in range(1, 11))
RATIO = tuple(step / 20 for step in range(1, 21))

ADHERENT_GAIN = 0.1
"""From this share of the headroom on, a ranking counts as following the request."""
CONFLICT_TAU = 0.3
"""Below this correlation the platform's order and the request's disagree ..."""
DOMINATED_OVERLAP, DOMINATED_TAU = 0.9, 0.8
"""... and from these on, the platform's order has won."""


class Quality:
    """One worker's, as `Metrics.quality`."""

    def __init__(self, define: Definitions) -> None:
        counter, gauge, histogram = define.counter, define.gauge, define.histogram

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
        canary = gauge("canary_ndcg_ratio", "nDCG of golden requests, by the rule judge", "canaries", kind=CANARIES)
        baseline = gauge(
            "canary_baseline_ndcg_ratio", "The same when the bundle was made; 0: it has none", "canaries", kind=CANARIES
        )
        self._canaries = {kind: (canary.labels(kind), baseline.labels(kind)) for kind in CANARIES}
        self._canaries_ran = False
        self._canary_run = gauge("canary_last_run_timestamp_seconds", "When golden requests were last run", "canaries")

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

    def control_request(self, op: str, ood: bool = False) -> None:
        """A control request, `set` or `clear`; `ood` where it is unlike anything that the towers were trained on.
        A list's own request counts as `set`, once, when it is embedded."""
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
        # After a swap the old bundle's figures stand until the new one has its own: they are not held against its baseline.
        promise = bool(ndcg) or not baseline or not self._canaries_ran
        for kind, (measured, promised) in self._canaries.items():
            if promise:
                promised.set(baseline.get(kind, 0.0))
            if kind in ndcg:
                measured.set(ndcg[kind])
        if ndcg:
            self._canaries_ran = True
            self._canary_run.set(now)
