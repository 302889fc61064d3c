"""What goes wrong in ways of its own: the requests are not followed, or the worker does not move."""

from monitoring.alerts import drift
from monitoring.alerts import thresholds as t
from monitoring.alerts.rules import Alert, Group, Record

_GAIN = "feedranker_adherence_gain_ratio"
_EVALUATED = 'feedranker_adherence_evaluations_total{result=~"adherent|nonadherent|no_headroom"}'
_TOPIC = "requests|candidates|items"
_CONSUMED = "feedranker_event_age_seconds_count"
_HEARTBEAT = "feedranker_heartbeat_timestamp_seconds"
_WAITING = 'feedranker_consumer_lag_events{topic=~".*candidates"}'
_TOLD = "feedranker_consumer_lag_timestamp_seconds"
_LOOP = "feedranker_event_loop_lag_seconds"

RECORDING = [
    Group(
        "ctrlrec-adherence-figures",
        [
            Record("job:feedranker_adherence_gain:increase1h", f"sum by (job) (increase({_GAIN}_count[1h]))"),
            Record(
                "job:feedranker_adherence_gain:mean1h",
                f"2 * sum by (job) (rate({_GAIN}_sum[1h])) / sum by (job) (rate({_GAIN}_count[1h])) - 1",
            ),
            Record(
                "job:feedranker_adherence_gain:stderr1h",
                "sqrt(\n"
                "  clamp_min(\n"
                "    sum by (job) (rate(feedranker_adherence_gain_squares_total[1h]))\n"
                f"    / sum by (job) (rate({_GAIN}_count[1h]))\n"
                "    - job:feedranker_adherence_gain:mean1h ^ 2,\n"
                "    0\n"
                "  )\n"
                "  / job:feedranker_adherence_gain:increase1h\n"
                ")",
            ),
            Record(
                "job:feedranker_conflicts:increase1h", "sum by (job) (increase(feedranker_conflict_rankings_total[1h]))"
            ),
            Record(
                "job:feedranker_conflicts_dominated:ratio_rate1h",
                'sum by (job) (rate(feedranker_conflict_rankings_total{dominated="1"}[1h]))\n'
                "/ sum by (job) (rate(feedranker_conflict_rankings_total[1h]))",
            ),
            Record("job:feedranker_adherence_evaluated:increase1h", f"sum by (job) (increase({_EVALUATED}[1h]))"),
            Record(
                "job:feedranker_no_headroom:ratio_rate1h",
                'sum by (job) (rate(feedranker_adherence_evaluations_total{result="no_headroom"}[1h]))\n'
                f"/ sum by (job) (rate({_EVALUATED}[1h]))",
            ),
        ],
    ),
    *drift.RECORDING,
    Group(
        "ctrlrec-flow",
        [
            # The workers know topics by their full names, with a prefix perhaps; the other metrics by their short ones.
            Record(
                "job_topic:feedranker_consumer_lag_events:sum",
                f'sum by (job, topic) (label_replace(feedranker_consumer_lag_events, "topic", "$1", "topic", ".*({_TOPIC})"))',
            ),
            Record(
                "job_topic:feedranker_consumer_lag_seconds:rate5m",
                f"job_topic:feedranker_consumer_lag_events:sum / sum by (job, topic) (rate({_CONSUMED}[5m]))",
            ),
            Record(
                "job:feedranker_dead_letters:increase15m", "sum by (job) (increase(feedranker_dead_letters_total[15m]))"
            ),
            Record(
                "job:feedranker_dead_letters:ratio_rate15m",
                "sum by (job) (rate(feedranker_dead_letters_total[15m]))\n"
                "/ (\n"
                f"  sum by (job) (rate({_CONSUMED}[15m]))\n"
                "  + sum by (job) (rate(feedranker_dead_letters_total[15m]))\n"
                ")",
            ),
        ],
    ),
]

_DOMINATED = (
    f"job:feedranker_conflicts_dominated:ratio_rate1h > {t.DOMINANCE_SHARE}\n"
    f"and job:feedranker_conflicts:increase1h > {t.DOMINANCE_SAMPLES}"
)

ADHERENCE = Group(
    "ctrlrec-adherence-failures",
    [
        Alert(
            "NoLift", "ticket",
            "job:feedranker_adherence_gain:mean1h\n"
            f"+ {t.NO_LIFT_ERRORS} * job:feedranker_adherence_gain:stderr1h < {t.NO_LIFT_GAIN}\n"
            f"and job:feedranker_adherence_gain:increase1h > {t.NO_LIFT_SAMPLES}\n"
            f"unless on (job) ({_DOMINATED})",
            "{{ $labels.job }}: requests change next to nothing",
            "Over the last hour the mean gain in alignment is at most {{ $value | humanizePercentage }} of what each list "
            f"had to give, by {t.NO_LIFT_ERRORS} standard errors; it should be well above {t.NO_LIFT_GAIN:.0%}.",
            "ctrlrec-adherence", "5m",
        ),
        Alert(
            "BaseDominance", "ticket",
            _DOMINATED,
            "{{ $labels.job }}: the platform's order wins over the readers' requests",
            "Where the two disagree, {{ $value | humanizePercentage }} of the sampled rankings of the last hour stayed "
            "almost as the platform had them.",
            "ctrlrec-adherence", "5m",
        ),
        Alert(
            "NoInventory", "ticket",
            f"job:feedranker_no_headroom:ratio_rate1h > {t.NO_INVENTORY_SHARE}\n"
            f"and job:feedranker_adherence_evaluated:increase1h > {t.NO_INVENTORY_SAMPLES}",
            "{{ $labels.job }}: the lists hold nothing that fits the requests",
            "For {{ $value | humanizePercentage }} of the sampled rankings of the last hour no order could have followed the "
            "request better: what it asks for is not among the candidates.",
            "ctrlrec-adherence", "5m",
        ),
    ],
)  # fmt: skip

SERVICE = Group(
    "ctrlrec-service",
    [
        Alert(
            "Stalled", "page",
            # A worker's first scrapes are no two minutes of waiting: its series must be as old as that.
            "sum by (job) (\n"
            f"  min_over_time({_WAITING}[{t.STALLED_FOR}]) > 0\n"
            f"  and {_WAITING} offset {t.STALLED_FOR} > 0\n"
            ")\n"
            "and (\n"
            f"  sum by (job) (increase(feedranker_end_to_end_duration_seconds_count[{t.STALLED_FOR}]))\n"
            f'  + sum by (job) (increase(feedranker_rankings_total{{outcome=~"error|refused"}}[{t.STALLED_FOR}]))\n'
            ") == 0",
            "{{ $labels.job }}: candidate lists wait and none is ranked",
            f"{{{{ $value }}}} lists are waiting, and for {t.STALLED_FOR} not one became a ranking or a dead letter.",
            "ctrlrec-kafka",
        ),
        Alert(
            "Stalled", "page",
            f"up{{job=~\"{t.JOBS}\"}} == 0 and scrape_duration_seconds > {t.HUNG_SECONDS}",
            "{{ $labels.instance }} hangs",
            f"For {t.STALLED_FOR} the worker {{{{ $labels.instance }}}} has let scrapes wait until they gave up: its process "
            "is there, or its machine, and does nothing.",
            "ctrlrec-kafka", t.STALLED_FOR, {"cause": "hung"},
        ),
        Alert(
            "Stalled", "page",
            # The lag is absent then, and with few readers nothing else would tell.
            f"time() - ({_TOLD} > 0 or process_start_time_seconds) > {t.UNREACHABLE_SECONDS}\n"
            f"and on (job, instance) {_TOLD}",
            "{{ $labels.instance }} cannot reach Kafka",
            "For {{ $value | humanizeDuration }} Kafka has told the worker {{ $labels.instance }} nothing: it consumes and "
            "confirms nothing either.",
            "ctrlrec-kafka", t.UNREACHABLE_FOR, {"cause": "unreachable"},
        ),
        Alert(
            "Stalled", "page",
            # What nobody has been assigned has no lag, either.
            "sum by (job) (feedranker_assigned_partitions) == 0",
            "{{ $labels.job }}: no worker has a partition",
            f"For {t.STALLED_FOR} the group has assigned none to any worker: its rebalance does not end, and nothing is "
            "consumed.",
            "ctrlrec-kafka", t.STALLED_FOR, {"cause": "unassigned"},
        ),
        Alert(
            "LagGrowing", "page",
            f"job_topic:feedranker_consumer_lag_seconds:rate5m > {t.LAG_SECONDS}\n"
            f"and deriv(job_topic:feedranker_consumer_lag_events:sum[{t.LAG_FOR}]) > 0",
            "{{ $labels.job }}: the workers fall behind on {{ $labels.topic }}",
            "At the present pace what waits takes {{ $value | humanizeDuration }} to work off, and it grows.",
            "ctrlrec-kafka", t.LAG_FOR,
        ),
        Alert(
            "DeadLetters", "ticket",
            f"job:feedranker_dead_letters:ratio_rate15m > {t.DEAD_LETTERS_SHARE}\n"
            f"and job:feedranker_dead_letters:increase15m > {t.DEAD_LETTERS}",
            "{{ $labels.job }}: events cannot be processed",
            "{{ $value | humanizePercentage }} of the events of the last 15 minutes became dead letters.",
            "ctrlrec-kafka",
        ),
        Alert(
            "LoopBlocked", "ticket",
            # At once: the watchdog ends a worker whose loop is silent, by default after 60 s.
            # As of the scrape: between two scrapes, 15 s perhaps, time() goes on and a heartbeat does not.
            f"max by (job, instance) (timestamp({_HEARTBEAT}) - ({_HEARTBEAT} > 0)) "
            f"> {t.LOOP_SILENT_SECONDS}",
            "{{ $labels.job }}: the event loop of {{ $labels.instance }} is silent",
            f"It has been silent for {{{{ $value | humanizeDuration }}}}; more than {t.LOOP_SILENT_SECONDS} s is a call that "
            "blocks it.",
            "ctrlrec-kafka", labels={"cause": "silent"},
        ),
        Alert(
            "LoopBlocked", "ticket",
            f'1 - sum by (job, instance) (rate({_LOOP}_bucket{{le="{t.LOOP_LATE_SECONDS}"}}[5m]))\n'
            f"/ sum by (job, instance) (rate({_LOOP}_count[5m])) > {t.LOOP_LATE_SHARE}",
            "{{ $labels.job }}: the event loop of {{ $labels.instance }} is blocked",
            f"More than {t.LOOP_LATE_SHARE:.0%} of its wake-ups of the last 5 minutes came over "
            f"{t.LOOP_LATE_SECONDS * 1000:g} ms late.",
            "ctrlrec-kafka", t.LOOP_FOR,
        ),
        Alert(
            "Down", "page",
            # With a job, or no dashboard, status or inhibition that selects by job would know of it.
            f'up{{job=~"{t.JOBS}"}} == 0\nor label_replace(absent(up{{job=~"{t.JOBS}"}}), "job", "{t.JOB}", "", "")',
            "{{ with $labels.instance }}{{ . }} does not answer{{ else }}no worker is scraped{{ end }}",
            f"For {t.DOWN_FOR} {{{{ with $labels.instance }}}}the worker {{{{ . }}}} has not answered scrapes"
            "{{ else }}there has been no worker to scrape{{ end }}.",
            "ctrlrec-kafka", t.DOWN_FOR,
        ),
    ],
)  # fmt: skip

ALERTS = [ADHERENCE, drift.ALERTS, SERVICE]
