"""Does it move? Kafka and the workers' processes."""

from monitoring.alerts import thresholds as t
from monitoring.dashboards.build import JOBS, WORKERS, Dashboard, Panel, Row
from monitoring.dashboards.queries import age, gauge, increase, quantile, rate

HEARTBEAT = gauge("heartbeat_timestamp_seconds")

KAFKA = Dashboard(
    "ctrlrec-kafka",
    "ctrlrec: Kafka and workers",
    "What waits, how old it is, what is refused, and how the processes fare.",
    [
        Row(
            "Flow",
            [
                Panel(
                    "Lag in time", "What waits, at the present pace of consumption.", "s",
                    [(f"job_topic:feedranker_consumer_lag_seconds:rate5m{{{JOBS}}}", "{{job}} {{topic}}")],
                    limit=t.LAG_SECONDS,
                ),
                Panel("Lag in events", "End offset less committed offset, by partition, whoever has it.", "short",
                      [(f"max by (topic, partition) ({gauge('consumer_lag_events')})", "{{topic}} {{partition}}")]),
                Panel("Consumed", "Events a second.", "reqps",
                      [(rate("event_age_seconds_count", "topic"), "{{topic}}")], stack=True),
                Panel(
                    "Age when consumed", "99th percentile, since an event's created_at (an item's record).", "s",
                    [(quantile(0.99, "event_age_seconds", "topic"), "{{topic}}")], limit=t.FRESHNESS_SECONDS,
                ),
                Panel(
                    "Quiet for", "Since the last event of each topic was consumed, by any worker.", "s",
                    [(age(f"max by (job, topic) ({gauge('last_event_timestamp_seconds')})"), "{{job}} {{topic}}")],
                ),
                Panel("Nothing confirmed for", "Since the last ranking was confirmed, by worker.", "s",
                      [(age(gauge("last_ranking_timestamp_seconds")), "{{instance}}")]),
            ],
        ),
        Row(
            "Refused",
            [
                Panel("Dead letters", "In each step, by reason.", "short",
                      [(increase("dead_letters_total", "reason"), "{{reason}}")], stack=True),
                Panel("Share of dead letters", f"Of all events, over 15 m; the alert waits for more than {t.DEAD_LETTERS}.",
                      "percentunit",
                      [(f"job:feedranker_dead_letters:ratio_rate15m{{{JOBS}}}", "{{job}}")], limit=t.DEAD_LETTERS_SHARE),
                Panel("Wrong clocks", "Events dated later than they were consumed, in each step.", "short",
                      [(increase("clock_skew_events_total", "topic"), "{{topic}}")]),
            ],
        ),
        Row(
            "Group",
            [
                Panel("Rebalances", "In each step, by worker.", "short",
                      [(increase("rebalances_total", "instance"), "{{instance}}")]),
                Panel("Length of a rebalance", "90th percentile; nothing is consumed meanwhile.", "s",
                      [(quantile(0.9, "rebalance_duration_seconds", "job"), "{{job}}")]),
                Panel("Partitions", "Of candidate lists, by the worker that ranks them. One without any is a spare.", "short",
                      [(gauge("assigned_partitions"), "{{instance}}")], stack=True),
                Panel("Kafka silent for", "Since the broker last told a worker how much waits, asked every 5 s.", "s",
                      [(age(gauge("consumer_lag_timestamp_seconds")), "{{instance}}")], limit=t.UNREACHABLE_SECONDS),
                Panel("Confirmation", "99th percentile of the broker's confirmation of rankings.", "s",
                      [(quantile(0.99, "stage_duration_seconds", "instance", 'stage="emit"'), "{{instance}}")]),
            ],
        ),
        Row(
            "Workers",
            [
                Panel("Up", "1 where the last scrape succeeded.", "short", [(f"up{{{WORKERS}}}", "{{instance}}")]),
                Panel("Silence of the event loop", "Since its last heartbeat.", "s",
                      [(f"clamp_min(timestamp({HEARTBEAT}) - ({HEARTBEAT} > 0), 0)", "{{instance}}")],
                      limit=t.LOOP_SILENT_SECONDS),
                Panel("Lateness of the event loop", "99th percentile of how late it wakes up.", "s",
                      [(quantile(0.99, "event_loop_lag_seconds", "instance"), "{{instance}}")],
                      limit=t.LOOP_LATE_SECONDS),
                Panel("Cores in use", "The event loop can use one, a tower its own threads.", "short",
                      [(f"rate(process_cpu_seconds_total{{{WORKERS}}}[$__rate_interval])", "{{instance}}")]),
                Panel("Memory", "Resident.", "bytes", [(f"process_resident_memory_bytes{{{WORKERS}}}", "{{instance}}")]),
                Panel(
                    "Tower calls", "Requests and items embedded, a second.", "reqps",
                    [(rate("stage_duration_seconds_count", "instance", 'stage="embed"'), "{{instance}}")],
                ),
                Panel("Open files", "Sockets are files.", "short",
                      [(f"process_open_fds{{{WORKERS}}}", "{{instance}}")]),
                Panel("Age of the process", "A saw-tooth is a worker that restarts.", "s",
                      [(age(f"process_start_time_seconds{{{WORKERS}}}"), "{{instance}}")]),
                Panel("Figures refused", "Observations that were not numbers, in each step: a bug.", "short",
                      [(increase("observations_refused_total", "instance"), "{{instance}}")]),
            ],
        ),
    ],
)  # fmt: skip
