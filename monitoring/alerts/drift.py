"""Requests, vectors and towers are no longer what they were when the bundle was made."""

from itertools import pairwise

from monitoring.alerts import thresholds as t
from monitoring.alerts.rules import Alert, Group, Record, seconds

_GAIN = "feedranker_adherence_gain_ratio"
_SET = "feedranker_control_requests_total"
_PLACE = "feedranker_embedding_quantile_ratio"


def _bins(window: str) -> str:
    """The share of each tenth of the quantiles: what lies up to its upper bound less what lies up to its lower one."""
    total = f"sum by (job, tower, projection) (rate({_PLACE}_count[{window}]))"
    upto = [f'sum by (job, tower, projection) (rate({_PLACE}_bucket{{le="{n / 10}"}}[{window}]))' for n in range(1, 11)]
    shares = [upto[0], *(f"{upper} - {lower}" for lower, upper in pairwise(upto))]
    return "\nor\n".join(
        f'label_replace(({share}) / {total}, "bin", "{number}", "", "")' for number, share in enumerate(shares, 1)
    )


RECORDING = [
    Group(
        "ctrlrec-gap",
        [
            Record("job_ood:feedranker_adherence_gain:increase6h", f"sum by (job, ood) (increase({_GAIN}_count[6h]))"),
            Record(
                "job_ood:feedranker_adherence_gain:mean6h",
                f"2 * sum by (job, ood) (rate({_GAIN}_sum[6h])) / sum by (job, ood) (rate({_GAIN}_count[6h])) - 1",
            ),
            Record(
                "job_ood:feedranker_adherence_gain:stderr6h",
                "sqrt(\n"
                "  clamp_min(\n"
                "    sum by (job, ood) (rate(feedranker_adherence_gain_squares_total[6h]))\n"
                f"    / sum by (job, ood) (rate({_GAIN}_count[6h]))\n"
                "    - job_ood:feedranker_adherence_gain:mean6h ^ 2,\n"
                "    0\n"
                "  )\n"
                "  / job_ood:feedranker_adherence_gain:increase6h\n"
                ")",
            ),
            Record(
                "job:feedranker_adherence_gap:diff6h",
                'sum by (job) (job_ood:feedranker_adherence_gain:mean6h{ood="0"})\n'
                '- sum by (job) (job_ood:feedranker_adherence_gain:mean6h{ood="1"})',
            ),
            Record(
                "job:feedranker_adherence_gap:stderr6h",
                "sqrt(sum by (job) (job_ood:feedranker_adherence_gain:stderr6h ^ 2))",
            ),
        ],
    ),
    Group(
        "ctrlrec-drift",
        [
            Record("job:feedranker_requests:increase6h", f'sum by (job) (increase({_SET}{{op="set"}}[6h]))'),
            Record(
                "job:feedranker_requests_ood:ratio_rate6h",
                f'sum by (job) (rate({_SET}{{op="set",ood="1"}}[6h])) / sum by (job) (rate({_SET}{{op="set"}}[6h]))',
            ),
            Record(
                "job:feedranker_requests_ood:zscore6h",
                f"(job:feedranker_requests_ood:ratio_rate6h - {t.OOD_PVALUE})\n"
                f"/ sqrt({t.OOD_PVALUE * (1 - t.OOD_PVALUE)} / (job:feedranker_requests:increase6h > 0))",
            ),
            Record(
                "job_tower_projection:feedranker_embedding:increase6h",
                f"sum by (job, tower, projection) (increase({_PLACE}_count[6h]))",
            ),
            Record("job_tower_projection_bin:feedranker_embedding:ratio_rate6h", _bins("6h")),
            Record(
                "job_tower_projection:feedranker_embedding:psi6h",
                "sum by (job, tower, projection) (\n"
                f"  (clamp_min(job_tower_projection_bin:feedranker_embedding:ratio_rate6h, {t.DRIFT_FLOOR}) - 0.1)\n"
                f"  * ln(clamp_min(job_tower_projection_bin:feedranker_embedding:ratio_rate6h, {t.DRIFT_FLOOR}) / 0.1)\n"
                ")",
            ),
        ],
    ),
]

ALERTS = Group(
    "ctrlrec-drift-alerts",
    [
        Alert(
            "OodShift", "ticket",
            f"job:feedranker_requests_ood:ratio_rate6h > {t.OOD_SHARE}\n"
            f"and job:feedranker_requests_ood:zscore6h > {t.OOD_ERRORS}\n"
            f"and job:feedranker_requests:increase6h > {t.OOD_SAMPLES}",
            "{{ $labels.job }}: readers ask for things that the towers do not know",
            f"{{{{ $value | humanizePercentage }}}} of the requests of the last 6 h were unlike those that the bundle was made "
            f"with; {t.OOD_PVALUE:.0%} are usual.",
            "ctrlrec-adherence", "5m",
        ),
        Alert(
            "OverfitGap", "ticket",
            f"job:feedranker_adherence_gap:diff6h > {t.OVERFIT_GAP}\n"
            f"and job:feedranker_adherence_gap:diff6h > {t.OVERFIT_ERRORS} * job:feedranker_adherence_gap:stderr6h\n"
            f"and min by (job) (job_ood:feedranker_adherence_gain:increase6h) > {t.OVERFIT_SAMPLES}",
            "{{ $labels.job }}: unusual requests are followed less than usual ones",
            "Over the last 6 h they won {{ $value | humanizePercentage }} of what their lists had to give less, which is more "
            f"than {t.OVERFIT_ERRORS} standard errors.",
            "ctrlrec-adherence", "5m",
        ),
        Alert(
            "EmbeddingDrift", "ticket",
            f"job_tower_projection:feedranker_embedding:psi6h > {t.DRIFT_PSI}\n"
            f"and job_tower_projection:feedranker_embedding:increase6h > {t.DRIFT_SAMPLES}",
            "{{ $labels.job }}: the vectors of the {{ $labels.tower }} tower have drifted",
            "Along {{ $labels.projection }} their population stability index over 6 h is {{ $value | humanize }} against "
            f"those of the bundle's making; above {t.DRIFT_PSI:g} it is another population.",
            "ctrlrec-adherence", "5m",
        ),
        Alert(
            "CanaryFailed", "ticket",
            f"feedranker_canary_ndcg_ratio < {t.CANARY_SHARE} * (feedranker_canary_baseline_ndcg_ratio > 0)\n"
            "and on (job, instance) feedranker_canary_last_run_timestamp_seconds > 0",
            "{{ $labels.job }}: golden requests get wrong rankings",
            "The golden requests ({{ $labels.kind }}) of {{ $labels.instance }} have an nDCG of {{ $value | humanize }}, by "
            f"the rule judge: less than {t.CANARY_SHARE:.0%} of what they had when the bundle was made.",
            "ctrlrec-adherence",
        ),
        Alert(
            "CanaryFailed", "ticket",
            "time() - (feedranker_canary_last_run_timestamp_seconds > 0 or process_start_time_seconds)\n"
            f"> {seconds(t.CANARY_AGE)}\n"
            "and on (job, instance) feedranker_canary_baseline_ndcg_ratio > 0",
            "{{ $labels.job }}: golden requests are not run",
            "The last run of {{ $labels.instance }} was {{ $value | humanizeDuration }} ago.",
            "ctrlrec-adherence", labels={"cause": "not run"},
        ),
    ],
)  # fmt: skip
