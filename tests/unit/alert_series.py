"""What a worker exports under some traffic, as promtool's tests write it."""

from itertools import accumulate

from monitoring.alerts.objectives import Objective

WORKER = 'job="ctrlrec",instance="a:9108"'
MINUTES = 60
Series = dict[str, str]


def metric(name: str, values: str, **labels: str) -> Series:
    text = "".join(f',{label}="{value}"' for label, value in labels.items())
    return {f"feedranker_{name}{{{WORKER}{text}}}": values}


def counter(*phases: tuple[float, int]) -> str:
    """Values at each minute, of a counter that rises by so much a minute for so many minutes, and so on."""
    values, now = ["0"], 0.0
    for rate, minutes in phases:
        values.append(f"{now + rate:g}+{rate:g}x{minutes - 1}")
        now += rate * minutes
    return " ".join(values)


def events(objective: Objective, *phases: tuple[float, float, int]) -> Series:
    """Events a minute, the share of bad ones, and for how many minutes."""
    good = counter(*((total * (1 - bad), minutes) for total, bad, minutes in phases))
    bad = counter(*((total * bad, minutes) for total, bad, minutes in phases))
    every = counter(*((total, minutes) for total, _, minutes in phases))
    match objective.name:
        case "latency":
            name = "end_to_end_duration_seconds"
            return metric(f"{name}_bucket", good, le="0.25") | metric(f"{name}_count", every)
        case "availability":
            # Half as many again are refused: they are of no account.
            refused = counter(*((total / 2, minutes) for total, _, minutes in phases))
            outcomes = {"degraded": good, "error": bad, "refused": refused}
            return {k: v for outcome, values in outcomes.items() for k, v in
                    metric("rankings_total", values, outcome=outcome).items()}  # fmt: skip
        case "freshness":
            old = metric("event_age_seconds_count", every, topic="items")
            fresh = metric("event_age_seconds_bucket", good, topic="requests", le="5.0")
            return fresh | metric("event_age_seconds_count", every, topic="requests") | old
        case _:
            results = {"adherent": good, "nonadherent": bad, "no_headroom": counter((every.count("x"), MINUTES))}
            name = "adherence_evaluations_total"
            return {k: v for result, values in results.items() for k, v in metric(name, values, result=result).items()}


def gains(samples: float, mean: float, ood: str = "0") -> Series:
    """So many samples an hour, with a standard deviation of 0.1."""
    rate = samples / 60
    series = {
        "adherence_gain_ratio_count": rate,
        "adherence_gain_ratio_sum": rate * (1 + mean) / 2,
        "adherence_gain_squares_total": rate * (0.01 + mean**2),
    }
    return {k: v for name, by in series.items() for k, v in metric(name, counter((by, MINUTES)), ood=ood).items()}


def asked(an_hour: float, ood: float) -> Series:
    """Requests, and the share of those that are unlike the bundle's."""
    name, a_minute = "control_requests_total", an_hour / 60
    return metric(name, counter((a_minute * ood, MINUTES)), op="set", ood="1") | metric(
        name, counter((a_minute * (1 - ood), MINUTES)), op="set", ood="0"
    )


def places(an_hour: float, shares: list[float]) -> Series:
    """Vectors, and the share of each tenth."""
    name, a_minute = "embedding_quantile_ratio", an_hour / 60
    labels = {"tower": "item", "projection": "pc1"}
    series = metric(f"{name}_count", counter((a_minute, MINUTES)), **labels)
    for tenth, upto in enumerate(accumulate(shares), 1):
        series |= metric(f"{name}_bucket", counter((a_minute * upto, MINUTES)), **labels, le=f"{tenth / 10}")
    return series


def canary(ndcg: str, last_run: str = "0+60x60", baseline: float = 0.8) -> Series:
    return (
        metric("canary_ndcg_ratio", ndcg, kind="refusal")
        | metric("canary_baseline_ndcg_ratio", f"{baseline}x60", kind="refusal")
        | metric("canary_last_run_timestamp_seconds", last_run)
        | {f"process_start_time_seconds{{{WORKER}}}": "1x60"}
    )


def conflicts(an_hour: float, dominated: float) -> Series:
    name = "conflict_rankings_total"
    return metric(name, counter((an_hour * dominated / 60, MINUTES)), dominated="1") | metric(
        name, counter((an_hour * (1 - dominated) / 60, MINUTES)), dominated="0"
    )


def evaluations(an_hour: float, no_headroom: float) -> Series:
    name = "adherence_evaluations_total"
    return metric(name, counter((an_hour * no_headroom / 60, MINUTES)), result="no_headroom") | metric(
        name, counter((an_hour * (1 - no_headroom) / 60, MINUTES)), result="adherent"
    )


def lists(waiting: str, ranked: float = 0, errors: float = 0, refused: float = 0) -> Series:
    return (
        metric("consumer_lag_events", waiting, topic="shop.candidates", partition="0")
        | metric("end_to_end_duration_seconds_count", counter((50, 20), (ranked, 40)))
        | metric("end_to_end_duration_seconds_bucket", counter((50, 20), (ranked, 40)), le="0.25")
        | metric("rankings_total", counter((0, 20), (errors, 40)), outcome="error")
        | metric("rankings_total", counter((0, 20), (refused, 40)), outcome="refused")
    )


def told(when: str) -> Series:
    """When Kafka last told how much waits."""
    return metric("consumer_lag_timestamp_seconds", when) | {f"process_start_time_seconds{{{WORKER}}}": "1x60"}


def assigned(partitions: str, instance: str = "a:9108") -> Series:
    return {f'feedranker_assigned_partitions{{job="ctrlrec",instance="{instance}"}}': partitions}


def behind(waiting: str) -> Series:
    fresh = counter((60, MINUTES))
    return (
        metric("consumer_lag_events", waiting, topic="shop.requests", partition="0")
        | metric("event_age_seconds_count", fresh, topic="requests")
        | metric("event_age_seconds_bucket", fresh, topic="requests", le="5.0")
    )


def dead(consumed: float, died: float) -> Series:
    return metric("event_age_seconds_count", counter((consumed, MINUTES)), topic="items") | metric(
        "dead_letters_total", counter((died, MINUTES)), reason="schema"
    )


def loop(late: float) -> Series:
    name = "event_loop_lag_seconds"
    in_time = metric(f"{name}_bucket", counter((120 * (1 - late), MINUTES)), le="0.25")
    return in_time | metric(f"{name}_count", counter((120, MINUTES)))
