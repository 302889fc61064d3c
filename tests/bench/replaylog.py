"""python -m tests.bench.replaylog ARCHIVE [--lists N] [--data DIR]: a log of MovieLens readers, as `ctrlrec record` leaves one.

Each list has 100 of the 500 films that the base recommender would show that reader, its scores shaken a little, so that no
two lists are alike; every reader has asked for something, and clicks fall on places as (place + 1)^-1. Seed 0.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ranker.data import load_dataset
from ranker.events import CandidateList, ControlRequest
from ranker.recommender import Recommender
from streams.replay.archive import SCHEMA, name_of
from streams.wire import encode
from tests.bench.workload import MADE_AT, REQUESTS

SHOWN, POOL, CLICKED, ROWS = 100, 500, 0.2, 20_000


class Row(NamedTuple):
    """A record to be: its time in seconds, key and value."""

    time: float
    key: bytes
    value: bytes


def write_log(archive: Path, data: Path, lists: int) -> None:
    """Requests first, then the lists, a thousand a second, in one partition."""
    dataset = load_dataset(data)
    recommender = Recommender.fit(dataset)
    users = sorted(dataset.interactions.user_ids)
    pools = {user: _pool(*recommender.candidates(user, POOL)) for user in users}
    _write(archive, "requests", _requests(users), len(users))
    rng = np.random.default_rng(0)
    clicks: list[Row] = []
    _write(archive, "candidates", _lists(users, pools, rng, lists, clicks), lists)
    _write(archive, "clicks", iter(clicks), len(clicks))


def _pool(ids: Sequence[str], scores: Sequence[float]) -> tuple[list[str], np.ndarray]:
    return list(ids), np.array(scores)


def _requests(users: Sequence[str]) -> Iterator[Row]:
    for number, user in enumerate(users):
        text = REQUESTS[number % len(REQUESTS)]
        event = ControlRequest(event_id=f"r{user}", user_id=user, op="set", created_at=MADE_AT - 1, text=text)
        yield Row(MADE_AT - 1, user.encode(), encode(event))


def _lists(
    users: Sequence[str],
    pools: dict[str, tuple[list[str], np.ndarray]],
    rng: np.random.Generator,
    lists: int,
    clicks: list[Row],
) -> Iterator[Row]:
    share = 1 / np.arange(1, SHOWN + 1)
    share /= share.sum()
    for number in range(lists):
        user = users[number % len(users)]
        ids, scores = pools[user]
        chosen = rng.permutation(len(ids))[:SHOWN]
        shaken = scores[chosen] + rng.normal(0, scores.std() / 10, len(chosen))
        time = MADE_AT + number / 1000
        event = CandidateList(
            event_id=f"e{number}", user_id=user, item_ids=[ids[item] for item in chosen.tolist()],
            base_scores=shaken.tolist(), created_at=time,
        )  # fmt: skip
        yield Row(time, user.encode(), encode(event))
        if rng.random() < CLICKED:
            place = int(rng.choice(SHOWN, p=share))
            item = event.item_ids[int(np.argsort(-shaken, kind="stable")[place])]
            click = {"event_id": event.event_id, "item_id": item, "position": place}
            clicks.append(Row(time + 5, user.encode(), encode(click)))


def _write(archive: Path, kind: str, rows: Iterator[Row], count: int) -> None:
    for first in range(0, count, ROWS):
        some = list(islice(rows, ROWS))
        table = pa.table(
            {
                "topic": [f"feed.{kind}"] * len(some),
                "partition": [0] * len(some),
                "offset": range(first, first + len(some)),
                "timestamp": [int(row.time * 1000) for row in some],
                "key": [row.key for row in some],
                "value": [row.value for row in some],
                "headers": [[]] * len(some),
            },
            schema=SCHEMA,
        )
        # All under one hour: what it says does not matter to a replay, which goes by the offsets.
        folder = archive / f"topic={kind}" / "hour=2025-06-15T15"
        folder.mkdir(parents=True, exist_ok=True)
        name = name_of(0, first, first + len(some) - 1)
        pq.write_table(table, folder / name, compression="zstd", row_group_size=4096)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.replaylog", description=__doc__)
    parser.add_argument("archive", type=Path, metavar="ARCHIVE")
    parser.add_argument("--lists", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, default=Path("var/data"))
    arguments = parser.parse_args()
    write_log(arguments.archive, arguments.data, arguments.lists)


if __name__ == "__main__":
    main()
