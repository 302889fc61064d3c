"""Dead letters of a real worker: looked at, and sent back when their cause is mended."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from typer.testing import CliRunner, Result

from streams.cli import build
from streams.deadletters import REDRIVEN
from streams.kafka import kafka_python_connection
from streams.letters import Wanted, letters
from streams.redrive import plan, redrive
from streams.scan import scan
from streams.settings import Settings
from streams.topics import ensure_topics
from tests.live import Live, candidates, error_headers, live_settings, new_id, request
from tests.unit.tiny_towers import bundle_folder

SMALL, LARGE = 1024, 900_000
"""The cause that can be mended: what a worker takes. A list of fifty items is between the two."""


@pytest.fixture
def mendable(bootstrap: str, tmp_path: Path) -> Iterator[Live]:
    """A worker of its own that takes next to nothing."""
    with Live(live_settings(bootstrap, bundle_folder(), max_event_bytes=SMALL), tmp_path) as live:
        yield live


def mend(live: Live) -> None:
    live.settings = msgspec.structs.replace(live.settings, max_event_bytes=LARGE)
    live.restart()


def ctrlrec(settings: Settings, *arguments: str, status: int = 0) -> Result:
    done = CliRunner().invoke(build(), arguments, env=settings.environment())
    assert done.exit_code == status, (done.output, done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


def outcome(settings: Settings, *arguments: str, status: int = 0) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(ctrlrec(settings, "redrive", "--json", *arguments, status=status).stdout)
    return answer


def test_mended_ones_are_answered_once_and_bad_ones_come_back_counted(mendable: Live) -> None:
    live, settings = mendable, mendable.settings
    events = [candidates(f"user {n}") for n in range(30)]
    trace = [("trace", b"7"), ("ctrlrec.error.topic", b"forged")]
    sent = [
        live.send("candidates", json.dumps(event).encode(), event["user_id"].encode(), headers=trace)
        for event in events
    ]
    bad = live.send("candidates", b"{", b"bad", headers=trace)
    for future in (*sent, bad):
        live.dead_letter(future)

    dry = outcome(settings)
    assert (dry["dry_run"], dry["would_send"], dry["sent"]) == (True, 31, 0)
    assert len(list(scan(settings, "candidates"))) == 31

    mend(live)
    assert outcome(settings, "--send", "--class", "too_large", "--limit", "10")["sent"] == 10
    assert outcome(settings, "--send", "--class", "too_large")["sent"] == 20  # goes on where the first stopped
    assert outcome(settings, "--send", "--class", "too_large") == dry | {
        "dry_run": False, "would_send": 0, "sent": 0, "sent_before": 30,
    }  # fmt: skip
    ids = {event["event_id"] for event in events}
    assert live.outputs.until(lambda: ids <= live.outputs.rankings.keys())
    live.outputs.until(lambda: False, 1)
    assert [len(live.outputs.rankings[event_id]) for event_id in ids] == [1] * 30
    originals = {future.get().partition: set[tuple[bytes, bytes]]() for future in sent}
    for future, event in zip(sent, events, strict=True):
        originals[future.get().partition].add((event["user_id"].encode(), json.dumps(event).encode()))
    again = [r for r in scan(settings, "candidates") if r.headers == [("trace", b"7"), (REDRIVEN, b"1")]]
    assert len(again) == 30
    for partition, expected in originals.items():
        assert {(r.key, r.value) for r in again if r.partition == partition} == expected


def test_what_stays_bad_circles_no_more_than_it_may(live: Live) -> None:
    settings = live.settings
    first = live.dead_letter(live.send("candidates", b'{"stays": "bad"', b"poison"))
    letter, attempts = first, []
    for sendings in range(3):
        place = f"{letter.partition}@{letter.offset}"
        assert outcome(settings, "--send", "--offsets", place)["sent"] == 1
        known = {(record.partition, record.offset) for found in live.outputs.dead.values() for record in found}

        def new(known: set[tuple[int, int]] = known) -> list[Any]:
            found = [record for some in live.outputs.dead.values() for record in some]
            return [r for r in found if r.key == b"poison" and (r.partition, r.offset) not in known]

        assert live.outputs.until(lambda: bool(new())), sendings
        (letter,) = new()
        attempts.append(error_headers(letter)["attempt"])
        assert letter.value == first.value
    assert attempts == ["2", "3", "4"]
    place = f"{letter.partition}@{letter.offset}"
    left = outcome(settings, "--send", "--offsets", place, status=1)
    assert (left["sent"], left["left"]) == (0, {"sent back 3 times already": 1})
    said = ctrlrec(settings, "redrive", "--offsets", place, status=1).stdout
    assert "left: sent back 3 times already" in said
    assert outcome(settings, "--send", "--offsets", place, "--cap", "4")["sent"] == 1


def test_list_and_show(live: Live) -> None:
    settings, user = live.settings, new_id()
    value = json.dumps({"event_id": user, "\u202e[bold]": "\x1b[31m"}).encode()
    letter = live.dead_letter(live.send("candidates", value, user.encode()))
    place = f"{letter.partition}@{letter.offset}"
    lines = ctrlrec(
        settings, "dead-letters", "list", "--class", "schema", "--since", "1h", "--json"
    ).stdout.splitlines()
    (one,) = [line for line in map(json.loads, lines) if line["letter"] == place]
    assert (one["class"], one["attempt"], one["cut"], one["state"]) == ("schema", 1, [], "waiting")
    assert one["from"].startswith(settings.topic("candidates") + "[")
    assert user not in "".join(lines)
    assert (
        ctrlrec(settings, "dead-letters", "list", "--until", "2000-01-01").stdout == "There are no such dead letters.\n"
    )
    table = ctrlrec(settings, "dead-letters", "list", "--offsets", place, "--check", status=1).stdout
    assert "schema" in table
    shown = ctrlrec(settings, "dead-letters", "show", place).stdout
    assert user in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[bold]" in shown
    assert ctrlrec(settings, "dead-letters", "show", place, "--raw").stdout_bytes == value
    assert "no dead letter at" in ctrlrec(settings, "dead-letters", "show", "0@999999", status=1).stderr
    assert "no dead letter at" in ctrlrec(settings, "dead-letters", "show", "9@0", status=1).stderr


def test_an_old_request_does_not_replace_a_newer_one(mendable: Live) -> None:
    live, settings, user = mendable, mendable.settings, new_id()
    old = request(user, "ghosts", context="x " * 600)
    letter = live.dead_letter(live.send("requests", json.dumps(old).encode(), user.encode()))
    other = request("other", "ghosts", context="x " * 600)
    live.dead_letter(live.send("requests", json.dumps(other).encode(), b"other"))
    time.sleep(0.01)
    newer = live.publish("requests", request(user, "songs"))
    assert live.outputs.until(lambda: bool(live.outputs.controls))
    mend(live)
    assert letter.key == user.encode()
    done = outcome(settings, "--send", "--topic", "requests")
    assert (done["sent"], done["dropped"], done["left"]) == (1, 1, {})
    assert outcome(settings, "--send")["sent_before"] == 2
    live.rank_until(lambda ranking: ranking.request_id == other["event_id"], "other")
    assert live.rank(user).request_id == newer


class ByHand:
    """Writes what a worker would; none runs."""

    def __init__(self, settings: Settings) -> None:
        ensure_topics(settings)
        self._settings = settings
        self._producer = KafkaProducer(**kafka_python_connection(settings), acks="all")

    def put(self, topic: str, value: bytes | None, key: bytes, headers: Any = ()) -> int:
        """The offset, in partition 0."""
        sent = self._producer.send(self._settings.topic(topic), value, key=key, partition=0, headers=list(headers))
        return int(sent.get(timeout=30).offset)

    def die(self, topic: str, value: bytes | None, key: bytes, offset: int, **changes: str) -> None:
        about = {"topic": self._settings.topic(topic), "partition": "0", "offset": str(offset), "class": "deadline"}
        about |= changes
        self.put("dead-letters", value, key, [(f"ctrlrec.error.{name}", text.encode()) for name, text in about.items()])


@pytest.fixture
def by_hand(settings: Settings) -> Iterator[ByHand]:
    hand = ByHand(settings)
    yield hand
    hand._producer.close(timeout=5)


def test_an_item_that_is_published_again_before_its_turn_comes_is_dropped(settings: Settings, by_hand: ByHand) -> None:
    for key in (b"again", b"once"):
        by_hand.die("items", b"{}", key, by_hand.put("items", b"{}", key))
    planned = plan(settings, Wanted(), cap=3)
    assert (len(planned.send), planned.drop) == (2, [])
    by_hand.put("items", None, b"again")
    assert redrive(settings, planned, rate=100) == 1
    assert len(planned.drop) == 1
    assert [(r.key, r.value) for r in scan(settings, "items")][2:] == [(b"again", None), (b"once", b"{}")]
    assert plan(settings, Wanted(), cap=3).done == 2


@pytest.mark.parametrize("read", [False, True])
def test_requests_count_that_made_no_control_and_items_published_again(
    settings: Settings, by_hand: ByHand, read: bool
) -> None:
    """Not read yet, or withdrawn so long ago that nothing is left of it: there is no control either way."""
    old, newer = (json.dumps(request("u", text, created_at=at)).encode() for text, at in (("x", 1.0), (None, 2.0)))
    put, die = by_hand.put, by_hand.die
    die("requests", old, b"u", put("requests", old, b"u"))
    put("requests", newer, b"u")
    die("items", b"{}", b"again", put("items", b"{}", b"again"))
    die("items", None, b"once", put("items", None, b"once"))
    put("items", b"{}", b"again")
    die("candidates", b"{}", b"u", 0, cut="value")
    die("candidates", b"{}", b"u", 0, partition="7")
    die("rankings", b"{}", b"u", 0)
    put("dead-letters", b"{}", b"u", [("ctrlrec.error.topic", b"elsewhere"), ("ctrlrec.error.class", b"deadline")])
    put("dead-letters", b"what is this", b"?")
    _commit(settings, 2 if read else 0)
    done = outcome(settings, "--send", status=1)
    assert (done["sent"], done["dropped"]) == (1, 2)
    assert done["left"] == {
        "too large to have been kept whole": 1,
        "the partition that it came from is not there": 1,
        "its headers do not say where it came from": 3,
    }
    assert [(r.key, r.value) for r in scan(settings, "items")][3:] == [(b"once", None)]
    assert "unknown" in ctrlrec(settings, "dead-letters", "list").stdout
    assert len(list(letters(settings, Wanted(reasons=["deadline"])))) == 7


def _commit(settings: Settings, offset: int) -> None:
    """As the workers would, of the requests."""
    consumer = KafkaConsumer(**kafka_python_connection(settings), group_id=settings.group, enable_auto_commit=False)
    place = TopicPartition(settings.topic("requests"), 0)
    consumer.assign([place])
    consumer.commit({place: OffsetAndMetadata(offset, "", -1)})
    consumer.close()
