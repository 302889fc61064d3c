"""What workers say of themselves, as figures with a verdict: what `ctrlrec status` shows."""

import http.client
import math
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from time import monotonic, time
from typing import Literal, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from monitoring.alerts import thresholds as t
from monitoring.alerts.rules import seconds
from monitoring.define import PREFIX
from monitoring.metrics import TOPICS
from monitoring.runs import OUTCOMES
from ranker.errors import ConfigError

TIMEOUT, AT_ONCE = 5.0, 32
_LAG = "consumer_lag_events"
_EVERY_WORKER = ("heartbeat_timestamp_seconds", "canary_last_run_timestamp_seconds")
Verdict = Literal["well", "wrong", "unknown"]
Series = Mapping[tuple[str, frozenset[tuple[str, str]]], float]
"""Value by name and labels."""


class Figure(NamedTuple):
    """One line of the overview. `unknown` is what nothing was counted for."""

    name: str
    value: str
    promise: str
    verdict: Verdict


class Reading(NamedTuple):
    """All workers at one moment: their series, or None of one that does not answer."""

    at: float
    workers: dict[str, Series | None]


def read_workers(urls: Sequence[str]) -> Reading:
    """Scrape `/metrics` of every worker, all at one time: one that hangs holds up no other. Raises ConfigError for what is
    no http address."""
    with ThreadPoolExecutor(min(len(urls), AT_ONCE) or 1, "status") as threads:
        return Reading(monotonic(), dict(zip(urls, threads.map(_scrape, urls), strict=True)))


def _scrape(url: str) -> Series | None:
    try:
        text = fetch(f"{url.rstrip('/').removesuffix('/metrics')}/metrics").decode()
        families = list(text_string_to_metric_families(text))
    except (OSError, ValueError):
        return None
    if not {PREFIX + name for name in _EVERY_WORKER} <= {s.name for family in families for s in family.samples}:
        raise ConfigError(f"{url} has metrics, but not those of a ctrlrec worker; give a worker's monitoring address")
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def fetch(url: str) -> bytes:
    """The body of an answer. Raises OSError where there is none, ConfigError for what is no http address."""
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{url} is no address; write http://host:port")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310  http, as was just seen to
            body: bytes = answer.read()
            return body
    except (http.client.InvalidURL, ValueError, OverflowError) as error:  # such as a port that is no number
        raise ConfigError(f"{url} is no address ({error}); write http://host:port") from error
    except http.client.HTTPException as error:
        raise OSError(f"no answer in HTTP: {error!r}") from error


class _Sums:
    """Sums over all workers that answer: now, and what was added since an earlier reading.

    Of one that did not answer then, nothing was added: when it was counted cannot be told.
    """

    def __init__(self, before: Reading, now: Reading) -> None:
        self.elapsed = max(now.at - before.at, 1e-9)
        self._pairs = [(before.workers.get(url) or series, series) for url, series in now.workers.items() if series]

    def total(self, name: str, **labels: str) -> float:
        return sum(self._selected(series, name, labels) for _, series in self._pairs)

    def added(self, name: str, **labels: str) -> float:
        """A worker that restarted meanwhile counts from its start."""
        pairs = [(self._selected(b, name, labels), self._selected(n, name, labels)) for b, n in self._pairs]
        return sum(now - before if now >= before else now for before, now in pairs)

    def each(self, name: str, **labels: str) -> list[list[float]]:
        """By worker: the values of all other labels."""
        return [[v for key, v in series.items() if _matches(key, name, labels)] for _, series in self._pairs]

    def waiting(self, topic: str) -> float:
        """Events of a topic, which lags know by its full name, with a prefix perhaps."""
        lags = (item for _, series in self._pairs for item in series.items() if _matches(item[0], _LAG, {}))
        return sum(lag for (_, labels), lag in lags if dict(labels)["topic"].endswith(topic))

    def label(self, name: str, label: str) -> list[str]:
        """The values of a label."""
        keys = [key for _, series in self._pairs for key in series if _matches(key, name, {})]
        return [dict(labels).get(label, "") for _, labels in keys]

    @staticmethod
    def _selected(series: Series, name: str, labels: Mapping[str, str]) -> float:
        return sum(value for key, value in series.items() if _matches(key, name, labels))


def _matches(key: tuple[str, frozenset[tuple[str, str]]], name: str, labels: Mapping[str, str]) -> bool:
    return key[0] in (PREFIX + name, name) and labels.items() <= key[1]


def figures(before: Reading, now: Reading) -> list[Figure]:
    """The overview. Rates are of the time between the two readings; what is sampled, since the workers started."""
    sums, up = _Sums(before, now), [url for url, series in now.workers.items() if series is not None]
    silent = [url for url in now.workers if url not in up]
    found = [Figure("workers", f"{len(up)} of {len(now.workers)} answer", ", ".join(silent) or "all",
                    "wrong" if silent else "well")]  # fmt: skip
    if not up:
        return found
    lists, errors = sums.added("end_to_end_duration_seconds_count"), sums.added("rankings_total", outcome="error")
    found.append(Figure("rankings", f"{lists / sums.elapsed:,.1f}/s", "", "well" if lists else "unknown"))
    found.append(_outcomes(sums))
    in_time = sums.added("end_to_end_duration_seconds_bucket", le=str(t.LATENCY_SECONDS))
    found.append(_share(f"within {t.LATENCY_SECONDS * 1000:g} ms", in_time, lists, at_least=t.LATENCY_TARGET))
    found.append(_share("lists ranked", lists, lists + errors, at_least=t.AVAILABILITY_TARGET))
    for topic in ("requests", "candidates"):  # items are nobody's waiting
        came = sums.added("event_age_seconds_count", topic=topic)
        fresh = sums.added("event_age_seconds_bucket", topic=topic, le=str(t.FRESHNESS_SECONDS))
        name = f"{topic} within {t.FRESHNESS_SECONDS:g} s"
        found.append(_share(name, fresh, came, at_least=t.FRESHNESS_TARGET))
    consumed, dead = sums.added("event_age_seconds_count"), sums.added("dead_letters_total")
    found.append(_share("dead letters", dead, consumed + dead, at_most=t.DEAD_LETTERS_SHARE))
    found.append(_lag(sums))
    told = [now for (now,) in sums.each("consumer_lag_timestamp_seconds") if now]
    if told:
        found.append(_bounded("Kafka silent for", time() - min(told), t.UNREACHABLE_SECONDS, "s"))
    beats = [time() - beat for (beat,) in sums.each("heartbeat_timestamp_seconds") if beat]
    if beats:
        found.append(_bounded("event loop silent for", max(beats), t.LOOP_SILENT_SECONDS, "s"))
    return found + _adherence(sums) + _canaries(sums) + [_bundles(sums)]


def _outcomes(sums: _Sums) -> Figure:
    counts = {outcome: sums.added("rankings_total", outcome=outcome) for outcome in OUTCOMES}
    every = sum(counts.values())
    shares = [f"{outcome} {count / every:.1%}" for outcome, count in counts.items() if count]
    return Figure("lists by outcome", ", ".join(shares) or "nothing was counted", "", "well" if every else "unknown")


def _lag(sums: _Sums) -> Figure:
    """How long what waits will take at the present pace, in the topic where it is longest: of another one, however fast, no
    event is any sooner."""
    waits = {topic: waiting for topic in TOPICS if (waiting := sums.waiting(topic))}
    wait, shown = 0.0, ""
    for topic, waiting in waits.items():
        consumed = sums.added("event_age_seconds_count", topic=topic)
        # One event that is asked about before it is committed is no lag, however quiet it is afterwards.
        takes = waiting / (consumed / sums.elapsed) if consumed else _quiet(sums, topic)
        if takes >= wait:
            wait, shown = takes, f", {takes:,.1f} s of {topic}" if consumed else f", {topic} at rest"
    return Figure("lag", f"{sum(waits.values()):,.0f} events{shown}", f"at most {t.LAG_SECONDS} s",
                  "wrong" if wait > t.LAG_SECONDS else "well")  # fmt: skip


def _quiet(sums: _Sums, topic: str) -> float:
    """Seconds since any worker consumed an event of it, or since the last of them started."""
    times = chain(sums.each("last_event_timestamp_seconds", topic=topic), sums.each("process_start_time_seconds"))
    last = max(chain.from_iterable(times), default=0.0)
    return time() - last if last else math.inf


def _adherence(sums: _Sums) -> list[Figure]:
    name = "adherence_gain_ratio"
    n, total = sums.total(f"{name}_count"), sums.total(f"{name}_sum")
    found = []
    if n:
        mean = 2 * total / n - 1
        error = math.sqrt(max(0.0, sums.total("adherence_gain_squares_total") / n - mean**2) / n)
        low = n > t.NO_LIFT_SAMPLES and mean + t.NO_LIFT_ERRORS * error < t.NO_LIFT_GAIN
        found.append(Figure("adherence gain", f"{mean:+.2f} ± {error:.2f} (SE, {n:,.0f} lists)",
                            f"above {t.NO_LIFT_GAIN:g}", "wrong" if low else "well"))  # fmt: skip
    else:
        found.append(Figure("adherence gain", "no list was sampled", f"above {t.NO_LIFT_GAIN:g}", "unknown"))
    followed = sums.total("adherence_evaluations_total", result="adherent")
    sampled = followed + sums.total("adherence_evaluations_total", result="nonadherent")
    # As the budget's alert: of fewer the bad ones may be too few to tell.
    least = t.BAD_EVENTS / (1 - t.ADHERENCE_TARGET)
    found.append(_share("requests followed", followed, sampled, at_least=t.ADHERENCE_TARGET, samples=least))
    conflicts, lost = sums.total("conflict_rankings_total"), sums.total("conflict_rankings_total", dominated="1")
    found.append(_share("conflicts lost to the platform", lost, conflicts, at_most=t.DOMINANCE_SHARE,
                        samples=t.DOMINANCE_SAMPLES))  # fmt: skip
    asked, odd = sums.total("control_requests_total", op="set"), sums.total("control_requests_total", op="set", ood="1")
    found.append(_share("requests unlike the bundle's", odd, asked, at_most=t.OOD_SHARE, samples=t.OOD_SAMPLES))
    return found


def _canaries(sums: _Sums) -> list[Figure]:
    kept: list[float] = []
    runs: list[float] = []
    names = ("canary_ndcg_ratio", "canary_baseline_ndcg_ratio", "canary_last_run_timestamp_seconds")
    for measured, promised, (run,) in zip(*map(sums.each, names), strict=True):
        if run:  # of a worker that has only just started there is no figure yet
            runs.append(run)
            kept += [now / then for now, then in zip(measured, promised, strict=True) if then > 0]
    if not kept:
        return [Figure("golden requests", "none were run", "", "unknown")]
    age = time() - min(runs)
    wrong = min(kept) < t.CANARY_SHARE or age > seconds(t.CANARY_AGE)
    return [Figure("golden requests", f"{min(kept):.0%} of what was promised, {age:.0f} s ago",
                   f"at least {t.CANARY_SHARE:.0%}, within {t.CANARY_AGE}", "wrong" if wrong else "well")]  # fmt: skip


def _bundles(sums: _Sums) -> Figure:
    versions = sorted(set(sums.label("bundle_info", "version")))
    return Figure("bundle", ", ".join(versions), "one", "well" if len(versions) == 1 else "wrong")


def _share(
    name: str, part: float, whole: float, *, at_least: float = 0.0, at_most: float = 1.0, samples: float = 0
) -> Figure:
    promise = f"at least {at_least * 100:g} %" if at_least else f"at most {at_most * 100:g} %"
    if not whole:
        return Figure(name, "nothing was counted", promise, "unknown")
    share = part / whole
    wrong = whole > samples and not at_least <= share <= at_most
    return Figure(name, f"{share * 100:.3g} % of {whole:,.0f}", promise, "wrong" if wrong else "well")


def _bounded(name: str, value: float, most: float, unit: str) -> Figure:
    return Figure(name, f"{value:.1f} {unit}", f"at most {most:g} {unit}", "wrong" if value > most else "well")
