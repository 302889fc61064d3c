"""A live run is recorded and replayed, and what the worker sent is what the replay makes, byte by byte."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from typer.testing import CliRunner

if TYPE_CHECKING:
    from streams.replay.plan import Outcome
    from tests.live import Live

ROUNDS, USERS = 3, 40
LISTS = -(-int(os.environ.get("EVENTS", "360")) // ROUNDS)
"""In each round. `make replays EVENTS=20000` has so many events, and the requests beside."""


class Recorded(NamedTuple):
    """A live run in an archive."""

    live: "Live"
    archive: Path
    calm: list[str]
    """Event ids of lists that came while no request was under way, in the order of the log."""
    racing: list[str]


@pytest.fixture(scope="module", params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Recorded]":
    from streams.replay.log import KINDS
    from streams.replay.record import Recorder
    from tests.live import Live, live_settings
    from tests.unit.tiny_towers import bundle_folder

    folder = tmp_path_factory.mktemp("replays")
    settings = live_settings(request.getfixturevalue(request.param), bundle_folder())
    with Live(settings, folder) as live:
        live.publish("items", {"item_id": "novel", "text": "novel: drama"})
        assert live.outputs.until(lambda: any(record.key == b"novel" for record in live.outputs.vectors))
        live.restart()  # it reads all vectors before it is ready
        rng = random.Random(11)
        calm = [event_id for number in range(ROUNDS) for event_id in calm_round(live, rng, number)]
        racing = race(live, rng)
        archive = folder / "archive"
        Recorder(settings, archive, KINDS).run(once=True)
        yield Recorded(live, archive, calm, racing)


def calm_round(live: "Live", rng: random.Random, number: int) -> list[str]:
    """Requests, and when the worker has them, lists; one of the requests is of no use."""
    from tests.live import request

    if number:
        live.send("requests", b"{", b"u0")
    wishes = [
        request(f"u{user}", f"wish {rng.randrange(9)}" if rng.random() < 0.8 else None, **odd(rng))
        for user in range(USERS)
        if number == 0 or rng.random() < 0.4
    ]
    for wish in wishes:
        live.send("requests", json.dumps(wish).encode(), wish["user_id"].encode())
    live.producer.flush()
    wanted = {wish["event_id"] for wish in wishes if wish["op"] == "set"}
    assert live.outputs.until(lambda: wanted <= {seen_request(record) for record in live.outputs.controls})
    for partition in range(live.settings.partitions):  # and the worker has read them
        settle = request(settler(partition, live.settings.partitions, number), "ghosts")
        live.publish("requests", settle)
        live.rank_until(lambda ranking: ranking.request_id is not None, settle["user_id"])
    return send_lists(live, rng)


def settler(partition: int, partitions: int, number: int) -> str:
    """A user of this partition: what comes after a request there comes after all before it."""
    from kafka.partitioner.default import murmur2

    names = (f"settler {number} {attempt}" for attempt in range(1_000))
    return next(name for name in names if (murmur2(name.encode()) & 0x7FFFFFFF) % partitions == partition)


def seen_request(record: Any) -> str | None:
    from streams.wire import decode_control

    return decode_control(record.value).request_id if record.value else None


def odd(rng: random.Random) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if rng.random() < 0.3:
        fields["weight"] = rng.random()
    if rng.random() < 0.1:
        fields["expires_at"] = 1.0
    if rng.random() < 0.3:
        fields["context"] = "likes war"
    return fields


def send_lists(live: "Live", rng: random.Random) -> list[str]:
    from tests.live import ITEMS, candidates

    sent = []
    for _ in range(LISTS):
        ids = rng.sample([*ITEMS, "novel", "unknown"], rng.randrange(1, 40))
        fields: dict[str, Any] = {"item_ids": ids, "base_scores": [rng.random() for _ in ids]}
        fields |= {"request": rng.choice(["ghosts", "no war"])} if rng.random() < 0.2 else {}
        fields |= {"top_k": 5, "explain": True} if rng.random() < 0.2 else {}
        event = candidates(f"u{rng.randrange(USERS + 5)}", **fields)
        live.send("candidates", json.dumps(event).encode(), event["user_id"].encode())
        sent.append(event["event_id"])
    assert live.outputs.until(lambda: all(event_id in live.outputs.rankings for event_id in sent))
    return sent


def race(live: "Live", rng: random.Random) -> list[str]:
    """Requests and lists at the same time."""
    from tests.live import candidates, request

    sent = []
    for number in range(300):
        user = f"u{rng.randrange(4)}"
        if number % 3 == 0:
            live.send("requests", json.dumps(request(user, f"wish {number}")).encode(), user.encode())
        event = candidates(user)
        live.send("candidates", json.dumps(event).encode(), user.encode())
        sent.append(event["event_id"])
    assert live.outputs.until(lambda: all(event_id in live.outputs.rankings for event_id in sent))
    return sent


def replayed(recorded: Recorded, log: str, out: Path, **options: Any) -> "Outcome":
    from streams.replay.job import replay
    from streams.replay.plan import Job
    from streams.replay.sources import Log

    defaults: dict[str, Any] = {"bundles": [recorded.live.settings.bundle], "format": "jsonl"}
    return replay(Job(Log(log), out, recorded.live.settings, **defaults | options))


def rankings(outcome: "Outcome") -> dict[str, bytes]:
    from streams.wire import decode_ranking

    parts = [outcome.layout.part(outcome.plan.variants[0], segment) for segment in outcome.segments]
    return {decode_ranking(line).event_id: line for part in parts for line in part.read_bytes().splitlines()}


def test_calm_lists_are_ranked_as_they_were(recorded: Recorded, tmp_path: Path) -> None:
    made = rankings(replayed(recorded, str(recorded.archive), tmp_path / "out"))
    sent = recorded.live.outputs.rankings
    assert made.keys() == sent.keys()
    assert [event_id for event_id in recorded.calm if made[event_id] != sent[event_id][0]] == []
    assert len({bytes(made[event_id]) for event_id in recorded.calm}) == ROUNDS * LISTS


def test_with_pins_all_lists_are(recorded: Recorded, tmp_path: Path) -> None:
    outcome = replayed(recorded, str(recorded.archive), tmp_path / "out", pin=True, check=True)
    made, sent = rankings(outcome), recorded.live.outputs.rankings
    assert [event_id for event_id in made if made[event_id] != sent[event_id][0]] == []
    from streams.replay.totals import read_totals

    assert read_totals(outcome.layout, outcome.segments, outcome.plan.variants).checked == [len(sent), 0, 0]
    assert len(sent) >= ROUNDS * LISTS + len(recorded.racing)


def test_the_topics_themselves_are_a_log_too(recorded: Recorded, tmp_path: Path) -> None:
    from_archive = rankings(replayed(recorded, str(recorded.archive), tmp_path / "archive", segment=100))
    from_kafka = rankings(replayed(recorded, "kafka", tmp_path / "kafka", segment=100, processes=2))
    assert list(from_kafka.items()) == list(from_archive.items())


def test_a_fleet_ranks_in_place_of_this_machine(recorded: Recorded, tmp_path: Path) -> None:
    here = replayed(recorded, str(recorded.archive), tmp_path / "here", weights=[0.7], segment=200)
    job: dict[str, Any] = {"weights": [0.7], "segment": 200, "bundles": [], "fleet": True}
    fleet = replayed(recorded, str(recorded.archive), tmp_path / "fleet", **job)
    own, theirs = rankings(here), rankings(fleet)
    assert theirs.keys() == own.keys()
    assert [event_id for event_id in own if own[event_id] != theirs[event_id]] == []
    from streams.replay.totals import read_figures

    for segment in range(len(here.segments)):
        one, other = read_figures(here.layout, segment), read_figures(fleet.layout, segment)
        assert (one.users, one.ranked, one.bad) == (other.users, other.ranked, other.bad)


def test_rankings_go_to_a_topic_once(recorded: Recorded, tmp_path: Path) -> None:
    from ranker.errors import BrokerError
    from streams.replay.publish import CHUNK, check_topic, publish
    from streams.scan import scan

    settings = msgspec.structs.replace(recorded.live.settings, topic_prefix=recorded.live.settings.topic_prefix)
    outcome = replayed(recorded, str(recorded.archive), tmp_path / "out")
    count, topic = len(rankings(outcome)), settings.topic("redriven")
    assert count > CHUNK
    with pytest.raises(BrokerError, match="there is no topic none such"):
        check_topic(settings, "none such")
    told: list[int] = []
    assert publish(outcome, settings, topic, moved=told.append) == count
    assert told == [CHUNK, count]
    assert publish(outcome, settings, topic, moved=told.append) == 0
    records = list(scan(settings, "redriven"))
    assert sorted(record.value for record in records) == sorted(rankings(outcome).values())


def test_the_command_checks(recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streams import cli

    monkeypatch.setenv("CTRLREC_BUNDLE", str(recorded.live.settings.bundle))
    command = ["replay", str(recorded.archive), "--out", str(tmp_path / "out"), "--check"]
    same = CliRunner().invoke(cli.build(), [*command, "--pin-bundle"])
    assert same.exit_code == 0, same.output
    other = CliRunner().invoke(cli.build(), [*command, "--weight", "0.123", "--restart"])
    assert other.exit_code == 1, other.output
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert report["checked"]["different"] > 100
    assert "rankings that differ" in (tmp_path / "out" / "report.md").read_text()
