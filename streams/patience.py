"""How long a fetch may wait at the broker, and for how much.

aiokafka has one fetch at a time on its way to a broker. While records come, it must be short: records of a partition that
is not part of it, since its last ones were still being taken, wait as long as it does. Where nothing comes it may be long,
as every partition is part of it then, and Apache Kafka answers it as soon as a record is there; short ones would only keep
the broker and an idle worker busy.

And while records come, it waits for some more: to handle one list costs as much as to handle a few together, at the broker
too, and at half their capacity both would be busy with lists that come one by one.
"""

import time
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer

SHARE = 8
"""A fetch waits no longer than this part of the time in which nothing has come: a broker that looks for new records now and
then, as the embedded one does, makes the first one later by so much at the most."""

ENOUGH = 128 * 1024
"""Bytes for which a fetch waits while records come: two dozen lists of 200 items."""


def fetch_wait(idle: float, shortest: float, longest: float) -> float:
    """Seconds that a fetch may wait, `idle` seconds after the last records."""
    return min(max(idle / SHARE, shortest), longest)


def fetch_patiently(
    consumer: AIOKafkaConsumer, shortest: float, longest: float, clock: Callable[[], float] = time.monotonic
) -> None:
    """Have a started consumer's fetches wait `fetch_wait`, for `ENOUGH` while records come, else for any."""
    fetcher = consumer._fetcher
    next_fetches, fetch = fetcher._get_actions_per_node, fetcher._proc_fetch_request
    last = clock()

    def wait_then_fetch(assignment: object) -> object:
        idle = clock() - last
        fetcher._fetch_max_wait_ms = round(1000 * fetch_wait(idle, shortest, longest))
        fetcher._fetch_min_bytes = ENOUGH if idle < shortest else 1
        return next_fetches(assignment)

    async def fetch_and_see(*request: object) -> bool:
        nonlocal last
        came: bool = await fetch(*request)
        if came:
            last = clock()
        return came

    fetcher._get_actions_per_node, fetcher._proc_fetch_request = wait_then_fetch, fetch_and_see
