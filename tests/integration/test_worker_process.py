"""A worker as a process: what it tells, how it ends, and what it refuses to start with."""

import json
import shutil
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

import msgspec
import psutil
import pytest

from streams.settings import Settings
from streams.supervise import WorkerProcess
from streams.topics import ensure_topics
from tests.live import ITEMS, SCORES, Live, candidates, live_settings, new_id
from tests.unit.tiny_towers import bundle, bundle_folder


def test_metrics_count_what_was_sent(live: Live) -> None:
    before = live.worker.metrics()
    user = new_id()
    live.rank(user)
    live.rank(user, item_ids=[*ITEMS[:48], "novel", "unheard of"], request="ghosts")
    live.rank(user, request="ghosts")
    for value in (b"{", b"[]", b"[1]"):
        live.dead_letter(live.send("candidates", value))
    counted = {
        'feedranker_rankings_total{outcome="base_only"}': 1,
        'feedranker_rankings_total{outcome="degraded"}': 1,
        'feedranker_rankings_total{outcome="controlled"}': 1,
        'feedranker_rankings_total{outcome="refused"}': 3,
        'feedranker_dead_letters_total{reason="malformed"}': 1,
        'feedranker_dead_letters_total{reason="schema"}': 2,
        "feedranker_unknown_items_total": 2,
        "feedranker_candidates_per_list_count": 3,
        "feedranker_end_to_end_duration_seconds_count": 3,
    }
    deadline = time.monotonic() + 10
    while (found := _rise(live, before, counted.keys())) != counted and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found == counted
    now = live.worker.metrics()
    about = f'feedranker_bundle_info{{name="{bundle().manifest.name}",version="{bundle().version}"}}'
    assert now[about] == 1
    assert now["feedranker_heartbeat_timestamp_seconds"] == pytest.approx(time.time(), abs=10)


def _rise(live: Live, before: dict[str, float], names: Iterable[str]) -> dict[str, float]:
    now = live.worker.metrics()
    return {name: now[name] - before[name] for name in names}


def test_nothing_but_monitoring_is_listened_on(live: Live) -> None:
    connections = psutil.Process(live.worker.process.pid).net_connections("inet")
    listening = [tuple(each.laddr) for each in connections if each.status == psutil.CONN_LISTEN]
    assert listening == [("127.0.0.1", live.worker.settings.monitoring_port)]


def test_health_of_a_live_worker(live: Live) -> None:
    assert ask(live, "/livez") == ask(live, "/readyz") == b"ok\n"
    assert ask(live, "/readyz?verbose").count(b"[+]") == 4


def ask(live: Live, path: str) -> bytes:
    """The body of an answer with status 200. Raises URLError for any other."""
    with urllib.request.urlopen(live.worker.monitoring + path, timeout=5) as answer:  # noqa: S310  our own address
        body: bytes = answer.read()
        return body


def test_sigterm_ends_an_idle_and_a_busy_worker(live: Live) -> None:
    taken = []
    for lists in (0, 3000):
        for number in range(lists):
            event = candidates(f"u{number}", item_ids=ITEMS[:9], base_scores=SCORES[:9], request=f"wish {number}")
            live.send("candidates", json.dumps(event).encode(), event["user_id"].encode())
        live.producer.flush(timeout=60)
        began = time.monotonic()
        live.worker.process.send_signal(signal.SIGTERM)
        assert live.worker.process.wait(30) == 0
        taken.append(time.monotonic() - began)
        assert "Traceback" not in live.worker.log.read_text()
        with pytest.raises(urllib.error.URLError):
            ask(live, "/livez")
        live.restart()
    print(f"SIGTERM to exit: idle {taken[0]:.1f} s, busy {taken[1]:.1f} s")
    live.rank(new_id())


@pytest.fixture
def refusable(embedded: str) -> Settings:
    """Topics of their own."""
    settings = live_settings(embedded, bundle_folder())
    ensure_topics(settings)
    return settings


def refused(settings: Settings, tmp_path: Path, **environment: str) -> str:
    """The only line that a worker with these settings writes before it exits with 2."""
    worker = WorkerProcess(
        settings, tmp_path / "refused.log", wrap=("env", *(f"{k}={v}" for k, v in environment.items()))
    )
    worker.start()
    try:
        assert worker.process.wait(60) == 2
    finally:
        worker.kill()
    lines = worker.log.read_text().strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("ctrlrec: ")
    return lines[0]


def test_a_damaged_bundle_is_refused(refusable: Settings, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle_folder(), tmp_path / "copy"))
    with (copy / "item_ids.json").open("ab") as file:
        file.write(b" ")
    assert "item_ids.json is damaged" in refused(msgspec.structs.replace(refusable, bundle=copy), tmp_path)


def test_no_bundle_is_refused(refusable: Settings, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(refusable, bundle=tmp_path / "none")
    assert "manifest.json is missing" in refused(settings, tmp_path)


def test_no_broker_is_refused(refusable: Settings, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(refusable, kafka_bootstrap="127.0.0.1:1")
    assert "127.0.0.1:1 refuses connections" in refused(settings, tmp_path)


def test_missing_topics_are_refused(refusable: Settings, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(refusable, topic_prefix="none.")
    line = refused(settings, tmp_path)
    assert "none.requests" in line
    assert "`ctrlrec topics` creates them" in line


def test_a_bad_setting_is_refused(refusable: Settings, tmp_path: Path) -> None:
    assert "CTRLREC_WEIGHT: " in refused(refusable, tmp_path / "weight", CTRLREC_WEIGHT="7")
    assert "CTRLREC_WAIT is no setting" in refused(refusable, tmp_path / "wait", CTRLREC_WAIT="7")


def test_a_taken_monitoring_port_is_refused(refusable: Settings, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused(msgspec.structs.replace(refusable, monitoring_port=port), tmp_path)
    assert f"CTRLREC_MONITORING_PORT: monitoring cannot listen on 127.0.0.1:{port}" in line
