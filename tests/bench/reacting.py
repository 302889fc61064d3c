"""How soon a worker follows what is new: requests, items, partitions that another worker had; and while a reader floods."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import msgspec

from ranker.events import CandidateList, ControlRequest, ItemUpsert, Ranking
from streams.budgets import BURST
from streams.settings import Settings
from streams.supervise import WorkerProcess
from streams.wire import decode_ranking, encode
from tests.bench.brokers import broker, prepared
from tests.bench.figures import Bench, Bound, Figure
from tests.bench.load import TIMEOUT, Arrivals, Publisher
from tests.bench.workload import REQUESTS, USERS, candidate_lists, item_ids

TRIALS, APART, STEP, ITEMS = 200, 0.05, 0.005, 20
"""How many requests or items; seconds from one to the next, and from list to list until one shows it; items of a list."""
RATE, SETTLED = 200.0, 2.0
"""Lists a second while workers come and go, and seconds of them after each change."""
FLOOD, FLOODED = 2_000.0, 10.0
"""Lists a second of one reader, ten times the budget, each with a request of its own; seconds of measuring."""


class Trial(NamedTuple):
    key: str
    event: bytes
    asking: CandidateList
    """Published again and again, until its ranking shows the event."""
    shows: Callable[[Ranking], bool]


def figures(bench: Bench) -> Iterator[Figure]:
    """From a request's or an item's acknowledgement to the first list that follows it; pauses as workers come and go."""
    lists = list(candidate_lists(item_ids(bench.bundle), ITEMS, USERS))
    with broker(bench) as bootstrap, ExitStack() as stack:
        settings = prepared(bench, bootstrap, "react.", user_list_rate=0)
        workers = [WorkerProcess(settings, bench.folder / f"react{n}.log", wrap=bench.cores.wrap) for n in range(3)]
        stays, leaves, dies = workers
        stack.enter_context(stays)
        reader = stack.enter_context(Arrivals(bootstrap, settings.topic("rankings"), settings.partitions))
        for topic, trial, limit in (("requests", _request, 0.25), ("items", _item, 2.0)):
            waits = _waits(settings, topic, [trial(number, lists[number]) for number in range(TRIALS)], reader)
            p50, p99 = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
            bound = Bound("value", "at most", limit * 1000)
            yield Figure(f"react.{topic}.p99", p99 * 1000, "ms", p99 / p50, "the median", (bound,))
        most = settings.session_timeout + settings.rebalance_timeout
        for name, change in (
            ("join", leaves.__enter__),
            ("leave", leaves.stop),
            ("join_again", dies.__enter__),
            ("kill", dies.kill),
        ):
            pause = _pause(settings, lists, reader, change, stays)
            bounds = (Bound("ratio", "at most", 1.0),)
            yield Figure(f"react.{name}", pause, "s", pause / most, "session and rebalance timeouts", bounds)
        stays.stop()
        yield _flood(bench, bootstrap, lists)


def _request(number: int, event: CandidateList) -> Trial:
    user, wish, text = f"asks{number}", f"r{number}", f"{REQUESTS[number % len(REQUESTS)]} {number}"
    asked = ControlRequest(event_id=wish, user_id=user, op="set", created_at=time.time(), text=text)
    asking = msgspec.structs.replace(event, user_id=user)
    return Trial(user, encode(asked), asking, lambda ranking: ranking.request_id == wish)


def _item(number: int, event: CandidateList) -> Trial:
    item = ItemUpsert(item_id=f"novel{number}", text=f"{REQUESTS[number % len(REQUESTS)]} {number}")
    asking = msgspec.structs.replace(event, item_ids=[*event.item_ids[1:], item.item_id], request=REQUESTS[0])
    return Trial(item.item_id, encode(item), asking, lambda ranking: ranking.unknown_items == 0)


def _waits(settings: Settings, topic: str, trials: Sequence[Trial], reader: Arrivals) -> list[float]:
    """Seconds from the broker's acknowledgement of each event to the making of the first list that follows it, sorted."""
    events, lists = (
        Publisher(settings.kafka_bootstrap, settings.topic(name), settings.partitions, **{"linger.ms": 0})
        for name in (topic, "candidates")
    )
    acknowledged: dict[int, float] = {}
    due: dict[int, float] = {}
    seen: dict[int, float] = {}

    def note(number: int) -> None:
        acknowledged[number] = due[number] = time.time()

    began, sent = time.time(), 0
    while len(seen) < len(trials):
        now = time.time()
        if sent < len(trials) and now >= began + sent * APART:
            events.send(sent, trials[sent].key, trials[sent].event, partial(note, sent))
            sent += 1
        events.poll()
        for number in [number for number, at in due.items() if at <= now]:
            asking = msgspec.structs.replace(trials[number].asking, event_id=f"{topic} {number}", created_at=now)
            lists.send(number, asking.user_id, encode(asking))
            due[number] = now + STEP
        for ranking in map(decode_ranking, reader.take(0.001)):
            kind, _, which = ranking.event_id.partition(" ")
            if kind == topic and trials[int(which)].shows(ranking):
                seen[int(which)] = min(ranking.created_at, seen.get(int(which), ranking.created_at))
                due.pop(int(which), None)
        if now > began + len(trials) * APART + TIMEOUT:
            raise RuntimeError(f"{len(trials) - len(seen)} of {len(trials)} {topic} were never followed")
    return sorted(max(0.0, seen[number] - at) for number, at in acknowledged.items())


def _flood(bench: Bench, bootstrap: str, lists: Sequence[CandidateList]) -> Figure:
    """Other readers' 99th percentile while one floods, in the same partitions; beside it the same without."""
    settings = prepared(bench, bootstrap, "flood.")
    with (
        WorkerProcess(settings, bench.folder / "flood.log", wrap=bench.cores.wrap),
        Arrivals(bootstrap, settings.topic("rankings"), settings.partitions) as reader,
    ):
        publisher = Publisher(bootstrap, settings.topic("candidates"), settings.partitions, **{"linger.ms": 2})
        own = msgspec.structs.replace(lists[0], user_id="flooder")
        _stream(publisher, lists, reader, own, FLOODED)  # both ways, lists and dead letters, are warm
        quiet = _stream(publisher, lists, reader, None, FLOODED)
        _stream(publisher, lists, reader, own, 2 * BURST * settings.user_list_rate / FLOOD)  # its budget is spent
        flooded = _stream(publisher, lists, reader, own, FLOODED)
    p99, without = (waits[len(waits) * 99 // 100] for waits in (flooded, quiet))
    bounds = (Bound("value", "at most", 50.0), Bound("ratio", "at most", 4.0))
    return Figure("react.flood.p99", p99 * 1000, "ms", p99 / without, "the same without a flood", bounds)


def _stream(
    publisher: Publisher,
    lists: Sequence[CandidateList],
    reader: Arrivals,
    flooder: CandidateList | None,
    seconds: float,
) -> list[float]:
    """How long each list waited for its ranking, sorted, but for the flooder's own."""
    began, sent, flood = time.time(), 0, 0
    waiting: set[str] = set()
    waits: list[float] = []

    def take(timeout: float) -> None:
        for ranking in map(decode_ranking, reader.take(timeout)):
            if ranking.event_id in waiting:
                waiting.discard(ranking.event_id)
                waits.append(time.time() - ranking.created_at)

    while (now := time.time() - began) < seconds:
        while flooder and flood < now * FLOOD:
            event = msgspec.structs.replace(
                flooder, event_id=f"flood {flood}", created_at=time.time(), request=f"{REQUESTS[0]} {began} {flood}"
            )  # of which none is known
            publisher.send(flood, event.user_id, encode(event))  # into every partition: it is near everybody
            flood += 1
        while sent < now * RATE:
            event = msgspec.structs.replace(
                lists[sent % len(lists)], event_id=f"{began} {sent}", created_at=time.time()
            )
            waiting.add(event.event_id)
            publisher.send(sent, event.user_id, encode(event))
            sent += 1
        take(0.002)
    deadline = time.time() + TIMEOUT
    while waiting and time.time() < deadline:
        take(0.5)
    if waiting:
        raise RuntimeError(f"{len(waiting)} of {sent} lists were not ranked while another reader flooded")
    return sorted(waits)


def _pause(
    settings: Settings,
    lists: Sequence[CandidateList],
    reader: Arrivals,
    change: Callable[[], object],
    stays: WorkerProcess,
) -> float:
    """The longest that a list waited for its ranking, of a steady stream in which the change was made."""
    publisher = Publisher(settings.kafka_bootstrap, settings.topic("candidates"), settings.partitions)
    changing = threading.Thread(target=change, daemon=True)
    waiting: set[str] = set()
    longest, sent, began, until = 0.0, 0, time.time(), 0.0

    def take(timeout: float) -> None:
        nonlocal longest
        for ranking in map(decode_ranking, reader.take(timeout)):
            if ranking.event_id in waiting:
                waiting.discard(ranking.event_id)
                longest = max(longest, time.time() - ranking.created_at)

    changing.start()
    while changing.is_alive() or time.time() < (until := until or time.time() + SETTLED):
        while sent < (time.time() - began) * RATE:
            event = msgspec.structs.replace(
                lists[sent % len(lists)], event_id=f"{change.__name__} {began} {sent}", created_at=time.time()
            )
            waiting.add(event.event_id)
            publisher.send(sent, event.user_id, encode(event))
            sent += 1
        take(0.005)
    deadline = time.time() + TIMEOUT
    while waiting:
        take(0.5)
        if stays.process.poll() is not None or time.time() > deadline:
            raise RuntimeError(f"{len(waiting)} of {sent} lists were not ranked, see {stays.log}")
    return longest
