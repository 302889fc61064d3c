"""The worker as a process, through a broker."""

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import NamedTuple

import msgspec

from ranker.events import CandidateList
from streams.settings import Settings
from streams.topics import ensure_topics
from streams.wire import decode_ranking, encode
from tests.bench.brokers import broker
from tests.bench.contenders import OUTPUT, Contender, Ours, Peer, cpu_seconds, peer_settings
from tests.bench.figures import Bench, Bound, Figure
from tests.bench.load import Arrivals, Publisher, publish_singly
from tests.bench.timing import MICRO
from tests.bench.workload import candidate_lists, controls, item_ids, load_bundle, user

ITEMS, LISTS, DISTINCT, REPEATS = 200, 40_000, 2_000, 2
LATENCY_SECONDS, WARM_UP = 8.0, 2.0


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


def figures(bench: Bench) -> Iterator[Figure]:
    """Candidate lists a second of one worker on one core, outputs acknowledged before inputs; and its latency."""
    lists = list(candidate_lists(item_ids(bench.bundle), ITEMS, DISTINCT))
    with broker(bench) as bootstrap:
        (rate, cpu), (peers_rate, peers_cpu) = _capacities(bench, bootstrap, lists)
        to = "Quix Streams with the same rank()"
        bounds = (Bound("value", "at least", 5000), Bound("ratio", "at least", 1.0))
        yield Figure("stream", rate, "lists/s", rate / peers_rate, to, bounds)
        yield Figure("stream.cpu", cpu * MICRO, "µs/list", cpu / peers_cpu if peers_cpu else None, to)
        ours, peers = _latencies(bench, bootstrap, lists, rate / 2)
        to = f"Quix Streams at the same {rate / 2:,.0f} lists/s"
        for name, mine, other, limit in (("p50", ours.p50, peers.p50, 10), ("p99", ours.p99, peers.p99, 50)):
            bound = Bound("value", "at most", limit)
            yield Figure(f"stream.latency.{name}", mine * 1000, "ms", mine / other, to, (bound,))


def _capacities(bench: Bench, bootstrap: str, lists: list[CandidateList]) -> list[tuple[float, float]]:
    """Lists a second and processor seconds a list, of the worker and of the peer, which take turns."""
    settings = _prepared(bench, bootstrap, "full.")
    publisher = Publisher(bootstrap, settings.topic("candidates"), settings.partitions)
    for number in range(LISTS):
        event = msgspec.structs.replace(lists[number % DISTINCT], event_id=f"e{number}")
        publisher.send(number, event.user_id, encode(event))
    publisher.flush()
    results: list[list[Throughput]] = [[], []]
    with _rankings(settings) as readers:
        for turn in range(REPEATS):
            for index, reader in enumerate(readers):
                contender = _contender(bench, settings, str(turn), ours=not index)
                results[index].append(_throughput(contender, reader))
    if len({result.rankings for of in results for result in of}) != 1:
        raise RuntimeError("the worker's rankings are not the peer's")
    return [(median(result.rate for result in of), median(result.cpu for result in of)) for of in results]


def _latencies(bench: Bench, bootstrap: str, lists: list[CandidateList], rate: float) -> list[Latency]:
    """Of the worker and of the peer, each on topics of its own: what one was sent must not be work for the other."""
    measured = []
    for ours in (True, False):
        settings = _prepared(bench, bootstrap, "half." if ours else "half-peer.")
        with _rankings(settings) as readers:
            contender = _contender(bench, settings, "latency", ours=ours)
            measured.append(_latency(contender, settings, readers[not ours], lists, rate))
    return measured


def _prepared(bench: Bench, bootstrap: str, prefix: str) -> Settings:
    """Topics of their own, and the control of every user."""
    settings = Settings(
        kafka_bootstrap=bootstrap, topic_prefix=prefix, group=prefix, bundle=bench.bundle.absolute(), monitoring_port=0
    )
    ensure_topics(settings)
    events = ((control.user_id, encode(control)) for control in controls(load_bundle(bench.bundle)))
    publish_singly(bootstrap, settings.topic("controls"), settings.partitions, events)
    return settings


@contextmanager
def _rankings(settings: Settings) -> Iterator[list[Arrivals]]:
    """The worker's, and the peer's."""
    with ExitStack() as stack:
        topics = (settings.topic("rankings"), settings.topic(OUTPUT))
        yield [stack.enter_context(Arrivals(settings.kafka_bootstrap, topic, settings.partitions)) for topic in topics]


def _contender(bench: Bench, settings: Settings, run: str, *, ours: bool) -> Contender:
    settings = msgspec.structs.replace(settings, group=settings.group + run)
    if ours:
        return Ours(settings, bench.folder / "worker.log", bench.cores)
    return Peer(peer_settings(settings), bench.folder / "peer.log", bench.cores)


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
        settings.kafka_bootstrap, settings.topic("candidates"), settings.partitions, **{"linger.ms": 1}
    )
    arrived: list[tuple[float, bytes]] = []
    contender.start()
    try:
        publisher.send(0, user(0), _now(lists[0], 0))
        publisher.flush()
        reader.wait(contender.alive)
        start, sent = time.time(), 0
        while sent < rate * (WARM_UP + LATENCY_SECONDS):
            due = int((time.time() - start) * rate)
            for number in range(sent, due):
                publisher.send(number, lists[number % DISTINCT].user_id, _now(lists[number % DISTINCT], number))
            sent = max(sent, due)
            arrived += ((time.time(), value) for value in reader.take(0.001))
        while len(arrived) < sent:
            values = reader.wait(contender.alive)
            arrived += ((time.time(), value) for value in values)
    finally:
        contender.stop()
    answers = [(at, decode_ranking(value).created_at) for at, value in arrived]
    return latency([at - created_at for at, created_at in answers if created_at > start + WARM_UP])


def latency(waits: Iterable[float]) -> Latency:
    """Raises RuntimeError where there is nothing to tell it from."""
    ordered = sorted(waits)
    if not ordered:
        raise RuntimeError(f"no list was made after the {WARM_UP:.0f} s of warm-up, so there is no latency to tell")
    return Latency(ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100])


def _now(event: CandidateList, number: int) -> bytes:
    return encode(msgspec.structs.replace(event, event_id=f"l{number}", created_at=time.time()))
