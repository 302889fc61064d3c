"""For each alert: traffic under which it fires, and traffic under which it does not."""

from dataclasses import dataclass, field
from itertools import chain
from math import inf

from monitoring.alerts.objectives import OBJECTIVES, Objective
from tests.unit.alert_series import (
    MINUTES,
    WORKER,
    Series,
    asked,
    assigned,
    behind,
    canary,
    conflicts,
    dead,
    evaluations,
    events,
    gains,
    lists,
    loop,
    metric,
    places,
    told,
)

UP = {f"up{{{WORKER}}}": "1x60"}


@dataclass(frozen=True)
class Case:
    """`fires` are the only alerts that fire after `minutes`: names, with (name, window) for a burn and (name, cause) for one
    that has causes."""

    name: str
    series: Series
    fires: set[str | tuple[str, str]] = field(default_factory=set)
    minutes: int = MINUTES


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
    Case("canary not run", UP | canary("0.8x60", "0+60x40 2400x20"), {("CanaryFailed", "not run")}),
    Case("canary never run", UP | canary("0x60", "0x60"), {("CanaryFailed", "not run")}),
    Case("no canaries", UP | canary("0x60", "0x60", 0)),
    Case(
        "hangs",
        {f"up{{{WORKER}}}": "1x50 0x10", f"scrape_duration_seconds{{{WORKER}}}": "0.01x50 10x10"},
        {("Stalled", "hung"), "Down"},
    ),
    Case("hangs for a minute", {f"up{{{WORKER}}}": "1x58 0x1", f"scrape_duration_seconds{{{WORKER}}}": "10x60"}),
    Case(
        "refuses for three minutes", {f"up{{{WORKER}}}": "1x56 0x3", f"scrape_duration_seconds{{{WORKER}}}": "0.001x60"}
    ),
    Case("Kafka unreachable", UP | told("0+60x49 3000x10"), {("Stalled", "unreachable")}),
    Case("Kafka unreachable from the start", UP | told("0x60"), {("Stalled", "unreachable")}),
    Case("Kafka unreachable for a minute", UP | told("0+60x57 3420x2")),
    Case("others' processes", UP | {f"process_start_time_seconds{{{WORKER}}}": "1x60"}),
    Case(
        "no partition for anybody", UP | assigned("4x49 0x10") | assigned("0x60", "b:9108"), {("Stalled", "unassigned")}
    ),
    Case("no partition for a spare", UP | assigned("4x60") | assigned("0x60", "b:9108")),
    Case("no partition for a minute", UP | assigned("4x57 0x2")),
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
        {("LoopBlocked", "silent")},
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
