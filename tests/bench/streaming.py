"""The worker as a process, through a broker."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import NamedTuple

import msgspec
import psutil

from ranker.events import CandidateList
from streams.settings import Settings
from streams.wire import encode
from tests.bench.brokers import broker, prepared
from tests.bench.contenders import OUTPUT, Contender, Other, Ours, cpu_seconds
from tests.bench.figures import Bench, Bound, Figure
from tests.bench.load import Arrivals, Publisher, publish_lists
from tests.bench.timing import MICRO
from tests.bench.workload import candidate_lists, item_ids

ITEMS, LISTS, DISTINCT, REPEATS = 200, 40_000, 2_000, 2
LATENCY_TURNS, LATENCY_SECONDS, WARM_UP = 3, 6.0, 4.0
"""The bounds are for the medians of the turns, so that a moment in which somebody else had the machine decides nothing, and
after the warm-up of a worker and a Java broker; the worst turn is told beside them."""
LINGER = 2
"""Milliseconds for which the load gathers lists. With 1, at so many lists a second, it sends nearly all of them one by one,
and a broker that shares its core with the load is what is measured; Java producers wait 5 by themselves, from Kafka 4 on."""


class Throughput(NamedTuple):
    rate: float
    """Lists a second, from the first ranking to arrive to the last."""
    cpu: float
    """Seconds of processor time a list, of the process that was measured."""
    rankings: frozenset[bytes]


class Latency(NamedTuple):
    """Seconds from making a list to reading its ranking."""

    p50: float
    p99: float
    load: float
    """Share of the time in which the busiest core of broker and load had work: near 1, they are what is measured."""


class Made(msgspec.Struct):
    """What the latency is told from."""

    created_at: float


def figures(bench: Bench) -> Iterator[Figure]:
    """Candidate lists a second of one worker on one core, outputs acknowledged before inputs; and its latency."""
    lists = list(candidate_lists(item_ids(bench.bundle), ITEMS, DISTINCT))
    with broker(bench) as bootstrap:
        (rate, cpu), (peers_rate, peers_cpu) = _capacities(bench, bootstrap, lists)
        to = "Quix Streams with the same rank()"
        bounds = (Bound("value", "at least", 5000), Bound("ratio", "at least", 1.0))
        yield Figure("stream", rate, "lists/s", rate / peers_rate, to, bounds)
        yield Figure("stream.cpu", cpu * MICRO, "µs/list", cpu / peers_cpu if peers_cpu else None, to)
        turns = _latencies(bench, bootstrap, lists, rate / 2)
        ours, echo = (Latency(*map(median, zip(*of, strict=True))) for of in turns)
        to = f"an echo at the same {rate / 2:,.0f} lists/s"
        for name, mine, other, limit in (("p50", ours.p50, echo.p50, 10), ("p99", ours.p99, echo.p99, 50)):
            bound = Bound("value", "at most", limit)
            yield Figure(f"stream.latency.{name}", mine * 1000, "ms", mine / other, to, (bound,))
        worst, other = (max(turn.p99 for turn in of) for of in turns)
        yield Figure(
            "stream.latency.p99.worst", worst * 1000, "ms", worst / other, f"{to}, the worst of {LATENCY_TURNS} turns"
        )
        to = "while the echo was measured"
        yield Figure("stream.latency.load", ours.load * 100, "% of a core", ours.load / echo.load, to)


def _capacities(bench: Bench, bootstrap: str, lists: list[CandidateList]) -> list[tuple[float, float]]:
    """Lists a second and processor seconds a list, of the worker and of the peer, which take turns."""
    settings = prepared(bench, bootstrap, "full.")
    publish_lists(settings, lists, LISTS)
    results: list[list[Throughput]] = [[], []]
    with _rankings(settings) as readers:
        for turn in range(REPEATS):
            for index, reader in enumerate(readers):
                contender = _contender(bench, settings, str(turn), "peer" if index else None)
                results[index].append(_throughput(contender, reader))
    if len({result.rankings for of in results for result in of}) != 1:
        raise RuntimeError("the worker's rankings are not the peer's")
    return [(median(result.rate for result in of), median(result.cpu for result in of)) for of in results]


def _latencies(bench: Bench, bootstrap: str, lists: list[CandidateList], rate: float) -> list[list[Latency]]:
    """Of the worker and of the echo, which take turns. Each turn has topics of its own: what one was sent must not be work
    for the other."""
    others = (None, "echo")
    measured: dict[str | None, list[Latency]] = {other: [] for other in others}
    for turn in range(LATENCY_TURNS):
        for other in others:
            settings = prepared(bench, bootstrap, f"half-{other}-{turn}.")
            with _rankings(settings) as readers:
                contender = _contender(bench, settings, "latency", other)
                measured[other].append(_latency(contender, settings, readers[other is not None], lists, rate))
    return list(measured.values())


@contextmanager
def _rankings(settings: Settings) -> Iterator[list[Arrivals]]:
    """The worker's, and the other's."""
    with ExitStack() as stack:
        topics = (settings.topic("rankings"), settings.topic(OUTPUT))
        yield [stack.enter_context(Arrivals(settings.kafka_bootstrap, topic, settings.partitions)) for topic in topics]


def _contender(bench: Bench, settings: Settings, run: str, other: str | None) -> Contender:
    settings = msgspec.structs.replace(settings, group=settings.group + run)
    if other:
        return Other(other, settings, bench.folder / f"{other}.log", bench.cores)
    return Ours(settings, bench.folder / "worker.log", bench.cores)


def _throughput(contender: Contender, reader: Arrivals) -> Throughput:
    contender.start()
    try:
        values = reader.wait(contender.alive)
        first, start, before = len(values), time.perf_counter(), cpu_seconds(contender.pid)
        while len(values) < LISTS:
            values += reader.wait(contender.alive)
        seconds, spent = time.perf_counter() - start, cpu_seconds(contender.pid) - before
    finally:
        contender.stop()
    if first == LISTS:
        raise RuntimeError(f"all {LISTS} rankings came at once: too few to tell a rate from")
    values += reader.take(1.0)
    rankings = frozenset(values)
    if len(values) != LISTS or len(rankings) != LISTS or b'"degraded":null' not in values[0]:
        raise RuntimeError(
            f"{len(values)} rankings, {len(rankings)} of them different, for {LISTS} lists: {values[0]!r}"
        )
    return Throughput((LISTS - first) / seconds, spent / (LISTS - first), rankings)


def _latency(
    contender: Contender, settings: Settings, reader: Arrivals, lists: list[CandidateList], rate: float
) -> Latency:
    """At `rate` lists a second."""
    publisher = Publisher(
        settings.kafka_bootstrap, settings.topic("candidates"), settings.partitions, **{"linger.ms": LINGER}
    )
    outlines = [_outline(event) for event in lists]
    arrived: list[tuple[float, bytes]] = []
    contender.start()
    try:
        publisher.send(0, lists[0].user_id, _now(outlines[0], 0))
        publisher.flush()
        reader.wait(contender.alive)
        start, sent = time.time(), 0
        psutil.cpu_percent(percpu=True)  # what it says next is of the time from here on
        while sent < rate * (WARM_UP + LATENCY_SECONDS):
            due = int((time.time() - start) * rate)
            for number in range(sent, due):
                publisher.send(number, lists[number % DISTINCT].user_id, _now(outlines[number % DISTINCT], number))
            sent = max(sent, due)
            arrived += ((time.time(), value) for value in reader.take(0.001))
        busy = psutil.cpu_percent(percpu=True)
        while len(arrived) < sent:
            values = reader.wait(contender.alive)
            arrived += ((time.time(), value) for value in values)
    finally:
        contender.stop()
    made = msgspec.json.Decoder(Made)
    answers = [(at, made.decode(value).created_at) for at, value in arrived]
    load = max((busy[core] for core in os.sched_getaffinity(0)), default=0) / 100
    return latency([at - created_at for at, created_at in answers if created_at > start + WARM_UP], load)


def latency(waits: Iterable[float], load: float) -> Latency:
    """Raises RuntimeError where there is nothing to tell it from."""
    ordered = sorted(waits)
    if not ordered:
        raise RuntimeError(f"no list was made after the {WARM_UP:.0f} s of warm-up, so there is no latency to tell")
    return Latency(ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100], load)


def _outline(event: CandidateList) -> tuple[bytes, bytes, bytes]:
    """The list's bytes before its id, between that and its time, and after both: to encode it anew would cost the load
    more than it costs the worker to read."""
    before, _, rest = encode(msgspec.structs.replace(event, event_id="@", created_at=-1.0)).partition(b'"@"')
    between, _, after = rest.partition(b'"created_at":-1.0')
    return before, between, after


def _now(outline: tuple[bytes, bytes, bytes], number: int) -> bytes:
    before, between, after = outline
    return b'%s"l%d"%s"created_at":%.6f%s' % (before, number, between, time.time(), after)
