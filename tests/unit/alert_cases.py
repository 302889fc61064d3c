"""For each alert: traffic under which it fires, and traffic under which it does not."""

from dataclasses import dataclass, field
from itertools import accumulate, chain
from math import inf

from monitoring.alerts.objectives import OBJECTIVES, Objective

WORKER = 'job="ctrlrec",instance="a:9108"'
MINUTES = 60
UP = {f"up{{{WORKER}}}": "1x60"}
Series = dict[str, str]


@dataclass(frozen=True)
class Case:
    """`fires` are the only alerts that fire after `minutes`: names, or for a burn (name, window)."""

    name: str
    series: Series
    fires: set[str | tuple[str, str]] = field(default_factory=set)
    minutes: int = MINUTES


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


def burns(objective: Objective) -> list[Case]:
    name, budget = objective.name, 1 - objective.target
    alert = f"{name.capitalize()}Burn"
    worst, least = objective.pairs[0].factor, objective.pairs[-1].factor

    def from_factor(factor: float) -> set[str | tuple[str, str]]:
        return {(alert, pair.long) for pair in objective.pairs if pair.factor <= factor}

    return [
        *(
            Case(f"{name} at {f:.3g} times", UP | events(objective, (10_000, f * budget, MINUTES)), from_factor(f))
            for f in (1.1 * pair.factor for pair in objective.pairs)
        ),
        Case(f"{name} below budget", UP | events(objective, (10_000, 0.9 * least * budget, MINUTES))),
        Case(f"{name} of ten a minute, all bad", UP | events(objective, (10, 1, MINUTES)), from_factor(inf)),
        Case(f"{name} of a single one in a quiet night", UP | events(objective, (1, 0, 58), (1, 0.5, 2))),
        Case(f"{name} with few events", UP | events(objective, (0.1, 1, MINUTES))),
        Case(
            f"{name} well again for 35 minutes",
            UP | events(objective, (10_000, 3 * worst * budget, MINUTES - 35), (10_000, 0, 35)),
            {(alert, pair.long) for pair in objective.pairs if pair.severity == "ticket"},
        ),
    ]


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


FAILURES = [
    Case("no lift", UP | gains(600, 0.02), {"NoLift"}),
    Case("little lift, too few samples", UP | gains(300, 0.02)),
    Case("lift not surely too small", UP | gains(600, 0.045)),
    Case("no lift, since the platform wins", UP | gains(600, 0.02) | conflicts(300, 0.4), {"BaseDominance"}),
    Case(
        "no lift, and the few conflicts are won by the platform",
        UP | gains(600, 0.02) | conflicts(100, 1.0),
        {"NoLift"},
    ),
    Case("dominance", UP | conflicts(300, 0.4), {"BaseDominance"}),
    Case("little dominance", UP | conflicts(300, 0.2)),
    Case("dominance, too few conflicts", UP | conflicts(100, 0.4)),
    Case("no inventory", UP | evaluations(300, 0.6), {"NoInventory"}),
    Case("inventory", UP | evaluations(300, 0.4)),
    Case("no inventory, too few samples", UP | evaluations(100, 0.6)),
    Case("requests of another kind", UP | asked(400, 0.3), {"OodShift"}),
    Case("requests as usual", UP | asked(400, 0.05)),
    Case("somewhat other requests", UP | asked(4000, 0.12)),
    Case("other requests, too few to tell", UP | asked(12, 0.25)),
    Case("unusual requests gain less", UP | gains(300, 0.5) | gains(300, 0.2, "1"), {"OverfitGap"}),
    Case("unusual requests gain as much", UP | gains(300, 0.5) | gains(300, 0.47, "1")),
    Case("too few unusual requests to tell", UP | gains(300, 0.5) | gains(40, 0.2, "1")),
    Case("drift", UP | places(600, [0.02] * 5 + [0.18] * 5), {"EmbeddingDrift"}),
    Case("drift into one tenth", UP | places(600, [0.0] * 9 + [1.0]), {"EmbeddingDrift"}),
    Case("no drift", UP | places(600, [0.1] * 10)),
    Case("little drift", UP | places(600, [0.07] * 5 + [0.13] * 5)),
    Case("drift, too few vectors to tell", UP | places(100, [0.02] * 5 + [0.18] * 5)),
    Case("canary failed", UP | canary("0.8x30 0.6x30"), {"CanaryFailed"}),
    Case("canary well", UP | canary("0.75x60")),
    Case("canary not run", UP | canary("0.8x60", "0+60x40 2400x20"), {"CanaryFailed"}),
    Case("canary never run", UP | canary("0x60", "0x60"), {"CanaryFailed"}),
    Case("no canaries", UP | canary("0x60", "0x60", 0)),
    Case(
        "hangs",
        {f"up{{{WORKER}}}": "1x50 0x10", f"scrape_duration_seconds{{{WORKER}}}": "0.01x50 10x10"},
        {"Stalled", "Down"},
    ),
    Case("hangs for a minute", {f"up{{{WORKER}}}": "1x58 0x1", f"scrape_duration_seconds{{{WORKER}}}": "10x60"}),
    Case(
        "refuses for three minutes", {f"up{{{WORKER}}}": "1x56 0x3", f"scrape_duration_seconds{{{WORKER}}}": "0.001x60"}
    ),
    Case("stalled", UP | lists("5x60"), {"Stalled"}),
    Case("a worker comes to a backlog", UP | lists("_x60 5")),
    Case("waiting, but moving", UP | lists("5x60", ranked=50)),
    Case("nothing waits", UP | lists("0x60")),
    Case("every list meets a bug, but moving", UP | lists("5x60", errors=1)),
    Case("every list is refused, but moving", UP | lists("5x60", refused=1)),
    Case("a list came in this minute", UP | lists("0x59 5")),
    Case("lag grows", UP | behind("0+100x60"), {"LagGrowing"}),
    Case("lag shrinks", UP | behind("19000-100x60")),
    Case("lag grows, but is small", UP | behind("0+0.5x60")),
    Case("dead letters", UP | dead(1000, 5), {"DeadLetters"}),
    Case("few of very many", UP | dead(10_000, 5)),
    Case("few dead letters", UP | dead(10, 0.2)),
    Case(
        "silent loop, for the 50 s that the watchdog leaves it",
        UP | metric("heartbeat_timestamp_seconds", "0+60x59 3550"),
        {"LoopBlocked"},
    ),
    Case("silent loop, ended by the watchdog", UP | metric("heartbeat_timestamp_seconds", "0+60x57 3430 3540 0")),
    Case("late loop", UP | loop(0.1), {"LoopBlocked"}),
    Case("loop", UP | loop(0.01) | metric("heartbeat_timestamp_seconds", "0+60x60")),
    Case(
        "loop, last scraped a minute ago",
        UP | metric("heartbeat_timestamp_seconds", " ".join(str(60 * m) if m % 5 else "_" for m in range(61))),
    ),
    Case("down", {f"up{{{WORKER}}}": "1x45 0x15"}, {"Down"}),
    Case("one of two down", UP | {'up{job="ctrlrec-eu",instance="b:9108"}': "0x60"}, {"Down"}),
    Case("gone", {}, {"Down"}),
    Case("restarting", {f"up{{{WORKER}}}": "1x55 0x5"}),
]
CASES = [*chain.from_iterable(map(burns, OBJECTIVES)), *FAILURES]
