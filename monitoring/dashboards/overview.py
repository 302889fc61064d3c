"""Is it well? The first page that somebody who was woken looks at."""

from monitoring.alerts import thresholds as t
from monitoring.alerts.objectives import OBJECTIVES, Objective
from monitoring.dashboards.build import JOBS, WORKERS, Dashboard, Panel, Row
from monitoring.dashboards.queries import age, by_bundle, gauge, increase, mean, quantile, rate, share

_OURS, _COUNTED = 'outcome=~"degraded|error"', 'outcome!="refused"'


def _burn(objective: Objective) -> Panel:
    factor = 1 - objective.target
    legend = "{{job}} {{topic}}" if "topic" in objective.by else "{{job}}"
    window = objective.pairs[0].long
    return Panel(
        f"{objective.name.capitalize()}: burn rate, {window}",
        f"How many times as fast as it may the budget of {t.BUDGET_DAYS} days burns; {objective.target:.4g} are promised. "
        f"At 1 it lasts just so long; from {objective.pairs[0].factor:g} on somebody is called.",
        "none",
        [(f"{objective.errors(window)}{{{JOBS}}} / {factor:.6g}", legend)],
        width=6,
        limit=objective.pairs[0].factor,
    )


OVERVIEW = Dashboard(
    "ctrlrec-overview",
    "ctrlrec: overview",
    "Whether readers get their rankings, in time, and whether these follow them.",
    [
        Row(
            "Now",
            [
                Panel(
                    "Alerts", "What fires now.", "none",
                    [(f'sum by (alertname, severity) (ALERTS{{alertstate="firing",{JOBS}}})', "{{alertname}}")],
                    kind="table", width=6,
                ),
                Panel("Workers", "That answer scrapes.", "short", [(f"sum by (job) (up{{{WORKERS}}})", "{{job}}")],
                      kind="stat", width=3),
                Panel("Silent workers", "That should answer scrapes, and do not.", "short",
                      [(f"count by (job) (up{{{WORKERS}}}) - sum by (job) (up{{{WORKERS}}})", "{{job}}")],
                      kind="stat", width=3, limit=1),
                Panel("Rankings", "A second.", "reqps",
                      [(rate("rankings_total", "job", 'outcome!~"error|refused"'), "{{job}}")], kind="stat", width=4),
                Panel("Slowest of a hundred", "99th percentile, end to end.", "s",
                      [(quantile(0.99, "end_to_end_duration_seconds", "job"), "{{job}}")],
                      kind="stat", width=4, limit=t.LATENCY_SECONDS),
                Panel("Workers by bundle", "More than one bundle for minutes: somebody refuses, or was forgotten.", "short",
                      [(f"count by (job, version) (feedranker_bundle_info{{{WORKERS}}})", "{{job}} {{version}}")],
                      kind="stat", width=4),
            ],
            height=6,
        ),
        Row("Promises", [_burn(objective) for objective in OBJECTIVES]),
        Row(
            "Traffic",
            [
                Panel(
                    "Lists by outcome",
                    "controlled: steered by a request; base_only: the reader has none; degraded: it could not be followed "
                    "in full; error: a dead letter by our own fault; refused: one by its sender's.",
                    "reqps", [(rate("rankings_total", "outcome"), "{{outcome}}")], stack=True,
                ),
                Panel(
                    "End to end", "From a list's created_at to its confirmed ranking.", "s",
                    [
                        (quantile(q, "end_to_end_duration_seconds", "job"), f"{{{{job}}}} p{100 * q:g}")
                        for q in (0.5, 0.9, 0.99)
                    ],
                    limit=t.LATENCY_SECONDS,
                ),
                Panel(
                    "Time a list, by stage", "Mean seconds of work; a batch's time is shared out among its lists.", "s",
                    [(mean("stage_duration_seconds", "stage"), "{{stage}}")],
                ),
                Panel("Items a list", "Half of the lists are longer than p50.", "short",
                      [(quantile(q, "candidates_per_list", "job"), f"{{{{job}}}} p{100 * q:g}") for q in (0.5, 0.99)]),
                Panel("Requests", "Control requests a second.", "reqps",
                      [(rate("control_requests_total", "job, op"), "{{job}} {{op}}")]),
                Panel("Controls in memory", "Requests that stand, of the partitions that each worker has.", "short",
                      [(gauge("controls_active"), "{{instance}}")]),
            ],
        ),
        Row(
            "Which bundle?",
            [
                Panel(
                    "Slowest of a hundred, by bundle",
                    "99th percentile, end to end; what a worker did counts for the bundle that it serves now.", "s",
                    [(
                        f"histogram_quantile(0.99, {by_bundle('end_to_end_duration_seconds_bucket', le=True)})",
                        "{{job}} {{version}}",
                    )],
                    limit=t.LATENCY_SECONDS,
                ),
                Panel(
                    "Degraded or failed, by bundle", "Of all lists but those that were refused.", "percentunit",
                    [(
                        f"{by_bundle('rankings_total', _OURS)}\n/ {by_bundle('rankings_total', _COUNTED)}",
                        "{{job}} {{version}}",
                    )],
                ),
                Panel(
                    "Gain, by bundle", "Mean share of what each sampled list had to give; a new bundle should not lower it.",
                    "percentunit",
                    [(
                        f"2 * {by_bundle('adherence_gain_ratio_sum')}\n/ {by_bundle('adherence_gain_ratio_count')} - 1",
                        "{{job}} {{version}}",
                    )],
                    limit=t.NO_LIFT_GAIN,
                ),
            ],
        ),
        Row(
            "Vectors",
            [
                Panel("Items without a vector", "Share of all candidates; they keep their place in the platform's order.",
                      "percentunit",
                      [(f"{rate('unknown_items_total', 'job')} / {rate('candidates_per_list_sum', 'job')}", "{{job}}")]),
                Panel("Items with a vector", "Of the bundle, and those that came later.", "short",
                      [(gauge("item_vectors"), "{{instance}}")]),
                Panel("Vectors found in the cache", "Share of the look-ups of requests' vectors.", "percentunit",
                      [(share("cache_requests_total", 'result="hit"', 'result!="stale"'), "{{job}}")]),
                Panel("Age of the bundle's vectors", "Since they were written; items that came later have their own.", "s",
                      [(age(gauge("item_vectors_built_timestamp_seconds")), "{{instance}}")]),
                Panel("Controls of another bundle", "Read a second, and embedded again: after a swap or a start.", "reqps",
                      [(rate("cache_requests_total", "instance", 'result="stale"'), "{{instance}}")]),
                Panel("Bundles activated", "In each step, by whether the worker took or refused them.", "short",
                      [(increase("bundle_swaps_total", "instance, result"), "{{instance}} {{result}}")]),
            ],
        ),
    ],
)  # fmt: skip
