"""Do rankings follow the requests, and if not, in which of the known ways do they fail?"""

from monitoring.alerts import thresholds as t
from monitoring.alerts.objectives import OBJECTIVES
from monitoring.alerts.rules import seconds
from monitoring.dashboards.build import JOBS, Dashboard, Panel, Row
from monitoring.dashboards.queries import age, gauge, mean, quantile, rate

_EVALUATED = rate("adherence_evaluations_total", "job", 'result=~"adherent|nonadherent"')
_ADHERENT = rate("adherence_evaluations_total", "job", 'result="adherent"')
_OBJECTIVE = next(objective for objective in OBJECTIVES if objective.name == "adherence")
_GAIN, _ERROR = "job:feedranker_adherence_gain:mean1h", "job:feedranker_adherence_gain:stderr1h"

ADHERENCE = Dashboard(
    "ctrlrec-adherence",
    "ctrlrec: adherence and failure signatures",
    "Sampled: one ranking a request and minute at most, since one reader's lists resemble each other.",
    [
        Row(
            "Do rankings follow the requests?",
            [
                Panel(
                    "Gain, with three standard errors",
                    "Share of what each list had to give that its ranking won: 1 is the best order of the list, 0 the "
                    "platform's own, below 0 is worse. Over 1 h; the upper line below the limit is NoLift.",
                    "percentunit",
                    [
                        (f"{_GAIN}{{{JOBS}}}", "{{job}} mean"),
                        (f"{_GAIN}{{{JOBS}}} + 3 * {_ERROR}{{{JOBS}}}", "{{job}} upper"),
                        (f"{_GAIN}{{{JOBS}}} - 3 * {_ERROR}{{{JOBS}}}", "{{job}} lower"),
                    ],
                    width=12, limit=t.NO_LIFT_GAIN,
                ),
                Panel(
                    "Samples in an hour", f"What the figures rest on; NoLift waits for {t.NO_LIFT_SAMPLES}.", "short",
                    [(f"job:feedranker_adherence_gain:increase1h{{{JOBS}}}", "{{job}}")], width=6,
                    limit=t.NO_LIFT_SAMPLES,
                ),
                Panel(
                    "Not followed", f"Share of the sampled rankings that won less than a tenth; "
                    f"{1 - _OBJECTIVE.target:.0%} are allowed.", "percentunit",
                    [(f"{_OBJECTIVE.errors(window)}{{{JOBS}}}", f"{{{{job}}}} {window}") for window in ("2h", "1d")],
                    width=6, limit=round(1 - _OBJECTIVE.target, 6),
                ),
                Panel(
                    "Sampled rankings by result",
                    "no_headroom: no order of the list would do better; invalid: a figure was not a number.", "reqps",
                    [(rate("adherence_evaluations_total", "result"), "{{result}}")], stack=True,
                ),
                Panel(
                    "Alignment of the top",
                    "With the request, weighted by rank: of what is shown (fused) and of the platform's order (base).",
                    "percentunit", [(mean("alignment_ratio", "job, ranking"), "{{job}} {{ranking}}")],
                ),
                Panel(
                    "Gain ratio, quantiles", "(1 + gain) / 2: at 0.5 nothing is won, at 1 everything.", "percentunit",
                    [(quantile(q, "adherence_gain_ratio", "job"), f"{{{{job}}}} p{100 * q:g}") for q in (0.1, 0.5, 0.9)],
                ),
            ],
        ),
        Row(
            "The platform's order wins (BaseDominance)",
            [
                Panel(
                    "Conflicts that the platform wins",
                    "Where the platform and the request disagree: share of rankings that stay as the platform had them. 1 h.",
                    "percentunit", [(f"job:feedranker_conflicts_dominated:ratio_rate1h{{{JOBS}}}", "{{job}}")],
                    limit=t.DOMINANCE_SHARE,
                ),
                Panel(
                    "Likeness of orders", "(1 + Kendall's tau) / 2: 1 is the same, 0.5 unrelated, 0 reversed.", "percentunit",
                    [(mean("order_correlation_ratio", "pair"), "{{pair}}")],
                ),
                Panel(
                    "Platform's top still on top", "Mean share of the platform's top in what is shown.", "percentunit",
                    [(mean("topk_overlap_ratio", "job"), "{{job}}")],
                ),
            ],
        ),
        Row(
            "Requests and vectors of another kind (OodShift, OverfitGap, EmbeddingDrift)",
            [
                Panel(
                    "Requests unlike the bundle's", "Share with a p-value up to 0.05, which 5 % have if nothing changed. 6 h.",
                    "percentunit", [(f"job:feedranker_requests_ood:ratio_rate6h{{{JOBS}}}", "{{job}}")], limit=t.OOD_SHARE,
                ),
                Panel(
                    "p-values of requests", "Quantiles. Of usual requests p50 is 0.5, p10 is 0.1.", "percentunit",
                    [(quantile(q, "request_ood_pvalue_ratio", "job"), f"{{{{job}}}} p{100 * q:g}") for q in (0.1, 0.5, 0.9)],
                ),
                Panel("Requests, usual and not", "Control requests a second; ood 1 is unlike the bundle's.", "reqps",
                      [(rate("control_requests_total", "ood", 'op="set"'), "ood {{ood}}")], stack=True),
                Panel(
                    "Gain by kind of request", "Mean of usual requests (ood 0) and of others (ood 1). 6 h.", "percentunit",
                    [(f"job_ood:feedranker_adherence_gain:mean6h{{{JOBS}}}", "{{job}} ood {{ood}}")],
                ),
                Panel(
                    "Gap", "By how much unusual requests gain less, with its standard error. 6 h.", "percentunit",
                    [
                        (f"job:feedranker_adherence_gap:diff6h{{{JOBS}}}", "{{job}}"),
                        (f"job:feedranker_adherence_gap:stderr6h{{{JOBS}}}", "{{job}} standard error"),
                    ],
                    limit=t.OVERFIT_GAP,
                ),
                Panel(
                    "Drift of vectors", "Population stability index against the bundle's making, up to 1. 6 h. "
                    f"Below {t.DRIFT_SAMPLES} vectors it says nothing: by chance alone it is 9 / n.", "none",
                    [(
                        f"clamp_max(job_tower_projection:feedranker_embedding:psi6h{{{JOBS}}}, 1)",
                        "{{job}} {{tower}} {{projection}}",
                    )],
                    limit=t.DRIFT_PSI,
                ),
            ],
        ),
        Row(
            "Golden requests (CanaryFailed)",
            [
                Panel(
                    "Of what was promised", "nDCG of the golden requests, by the rule judge, over that of the bundle's making.",
                    "percentunit",
                    [(
                        f"{gauge('canary_ndcg_ratio')} / ({gauge('canary_baseline_ndcg_ratio')} > 0)\n"
                        f"and on (job, instance) {gauge('canary_last_run_timestamp_seconds')} > 0",
                        "{{instance}} {{kind}}",
                    )],
                    limit=t.CANARY_SHARE,
                ),
                # Of a kind that the bundle has none of, or that has not been run yet, the figure is 0.
                Panel("nDCG", "wish, the same in other words, and refused.", "percentunit",
                      [(
                          f"{gauge('canary_ndcg_ratio')} and {gauge('canary_baseline_ndcg_ratio')} > 0\n"
                          f"and on (job, instance) {gauge('canary_last_run_timestamp_seconds')} > 0",
                          "{{instance}} {{kind}}",
                      )]),
                Panel("Last run", "How long ago.", "s",
                      [(age(gauge("canary_last_run_timestamp_seconds")), "{{instance}}")],
                      limit=seconds(t.CANARY_AGE)),
            ],
        ),
        Row(
            "Nothing that fits (NoInventory)",
            [
                Panel(
                    "No headroom", "Share of the sampled rankings that no order could improve. 1 h.", "percentunit",
                    [(f"job:feedranker_no_headroom:ratio_rate1h{{{JOBS}}}", "{{job}}")], limit=t.NO_INVENTORY_SHARE,
                ),
                Panel(
                    "Adherent of those with headroom", "What is left to ranking, once inventory is set aside.", "percentunit",
                    [(
                        f"{_ADHERENT} / {_EVALUATED}",
                        "{{job}}",
                    )],
                ),
                Panel("Items a list", "Short lists leave little choice.", "short",
                      [(quantile(0.5, "candidates_per_list", "job"), "{{job}} p50")]),
            ],
        ),
    ],
)  # fmt: skip
