"""`ctrlrec record` against a live broker: killed as often as one likes, it has every record once."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from ranker.errors import DataError
from streams.settings import Settings

RECORDS = 3_000
HOUR = 3_600_000
BEGAN = (int(time.time() * 1000) // HOUR - 48) * HOUR + HOUR // 4
"""Records are dated: not so early that a broker's retention would delete them meanwhile, and well into an hour."""


@pytest.fixture
def producer(settings: Settings) -> "Iterator[Any]":
    from kafka import KafkaProducer

    from streams.kafka import kafka_python_connection
    from streams.topics import ensure_topics

    ensure_topics(settings)
    producer = KafkaProducer(**kafka_python_connection(settings), acks="all", linger_ms=2)
    yield producer
    producer.close(timeout=5)


def rows(archive: Path, topic: str) -> list[dict[str, Any]]:
    """Of each partition in the order of the archive's files."""
    from streams.replay.archive import held

    return [row for each in held(archive, topic) for row in pq.read_table(each.file).to_pylist()]


def send(producer: Any, settings: Settings, number: int) -> None:
    producer.send(
        settings.topic("candidates"), f"value {number}".encode() if number % 7 else None, key=f"u{number % 5}".encode(),
        headers=[("trace", str(number).encode())], timestamp_ms=BEGAN + number * HOUR // 1000,
    )  # fmt: skip


def expect_all(archive: Path, settings: Settings, count: int) -> None:
    found = rows(archive, "candidates")
    assert len(found) == count
    for partition in range(settings.partitions):
        offsets = [row["offset"] for row in found if row["partition"] == partition]
        assert offsets == list(range(len(offsets)))
    assert sorted(int(row["headers"][0]["value"]) for row in found) == list(range(count))
    for row in found:
        number = int(row["headers"][0]["value"])
        assert row["value"] == (f"value {number}".encode() if number % 7 else None)
        assert (row["key"], row["topic"]) == (f"u{number % 5}".encode(), settings.topic("candidates"))


def test_everything_is_kept_by_hour_and_it_goes_on(settings: Settings, producer: Any, tmp_path: Path) -> None:
    from streams.replay.record import Recorder

    for number in range(RECORDS):
        send(producer, settings, number)
        if number == RECORDS // 2:
            producer.flush()
            assert Recorder(settings, tmp_path, ["candidates"]).run(once=True) == number + 1
    producer.flush()
    assert Recorder(settings, tmp_path, ["candidates"]).run(once=True) == RECORDS - RECORDS // 2 - 1
    assert Recorder(settings, tmp_path, ["candidates"]).run(once=True) == 0
    expect_all(tmp_path, settings, RECORDS)
    hours = [datetime.fromtimestamp(BEGAN / 1000 + hour * 3600, UTC) for hour in range(4)]
    assert {path.name for path in (tmp_path / "topic=candidates").iterdir()} == {
        f"hour={hour:%Y-%m-%dT%H}" for hour in hours
    }
    for row in rows(tmp_path, "candidates"):
        number = int(row["headers"][0]["value"])
        assert round(row["timestamp"].timestamp() * 1000) == BEGAN + number * HOUR // 1000


def test_killed_again_and_again_it_loses_nothing(settings: Settings, producer: Any, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    variables = {
        f"CTRLREC_{name.upper()}": str(getattr(settings, name))
        for name in ("kafka_bootstrap", "topic_prefix", "partitions")
    }
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        "from streams.cli import main; main()",
        "record",
        str(archive),
        "--topic",
        "candidates",
    ]
    sent = 0
    for _ in range(4):
        process = subprocess.Popen(
            [*command, "--every", "0.1"], env=variables | {"PATH": ""}, stderr=subprocess.DEVNULL
        )
        deadline, before = time.monotonic() + 60, len(list(archive.rglob("[0-9]*.parquet")))
        while len(list(archive.rglob("[0-9]*.parquet"))) < before + 3 and time.monotonic() < deadline:
            for _ in range(20):
                send(producer, settings, sent)
                sent += 1
            producer.flush()
            time.sleep(0.02)
        process.kill()
        process.wait()
    done = subprocess.run(
        [*command, "--once"], env=variables | {"PATH": ""}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    expect_all(archive, settings, sent)
    assert list(archive.rglob(".unfinished-*")) == []


def test_two_do_not_write_to_one_archive(settings: Settings, producer: Any, tmp_path: Path) -> None:
    from streams.replay.alone import alone
    from streams.replay.record import Recorder

    with alone(tmp_path, "ctrlrec record"), pytest.raises(DataError, match="another `ctrlrec record`"):
        Recorder(settings, tmp_path, ["candidates"]).run(once=True)
    renamed = msgspec.structs.replace(settings, topic_prefix="none.")
    from ranker.errors import BrokerError

    with pytest.raises(BrokerError, match="ctrlrec topics"):
        Recorder(renamed, tmp_path, ["candidates"]).run(once=True)


def test_a_topic_that_was_made_again_is_refused(settings: Settings, producer: Any, tmp_path: Path) -> None:
    """Whether it has fewer records by then or more, and whether a recorder is at work or not."""
    from kafka.admin import KafkaAdminClient

    from streams.kafka import kafka_python_connection
    from streams.replay.record import Recorder
    from streams.topics import ensure_topics

    def make_again(records: int) -> None:
        admin.delete_topics([settings.topic("candidates")])
        time.sleep(1)
        ensure_topics(settings)
        for _ in range(records):
            producer.send(settings.topic("candidates"), b"other", partition=0).get(timeout=30)

    admin = KafkaAdminClient(**kafka_python_connection(settings))
    for number in range(4):
        producer.send(settings.topic("candidates"), f"{number}".encode(), partition=0).get(timeout=30)
    assert Recorder(settings, tmp_path, ["candidates"]).run(once=True) == 4
    for records in (0, 6):
        make_again(records)
        with pytest.raises(DataError, match="candidates was deleted and made again since it was recorded"):
            Recorder(settings, tmp_path, ["candidates"]).run(once=True)
    assert [row["value"] for row in rows(tmp_path, "candidates")] == [b"0", b"1", b"2", b"3"]

    running = Recorder(settings, tmp_path / "another", ["candidates"], every=0.2)
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        if len(told) == 1:
            make_again(9)
        assert len(told) < 300

    with pytest.raises(DataError, match="made again"):
        running.run(tell=tell)
    assert [row["value"] for row in rows(tmp_path / "another", "candidates")] == [b"other"] * 6
    admin.close()
