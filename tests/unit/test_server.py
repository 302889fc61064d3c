import asyncio
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from monitoring.health import CONDITIONS, Health, heartbeat
from monitoring.metrics import Metrics
from monitoring.server import MonitoringServer
from tests.unit.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(stale_after=10.0, clock=clock)


@pytest.fixture
def server(health: Health) -> Iterator[MonitoringServer]:
    registry = CollectorRegistry()
    Metrics(registry).dead_letter("schema")
    with MonitoringServer(registry, health) as server:
        yield server


def get(server: MonitoringServer, path: str, **headers: str) -> tuple[int, str, str]:
    request = urllib.request.Request(server.url + path, headers=headers)  # noqa: S310  loopback
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return answer.status, answer.read().decode(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers["Content-Type"]


def test_metrics_are_served_in_the_form_that_is_asked_for(server: MonitoringServer) -> None:
    status, text, kind = get(server, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    assert 'feedranker_dead_letters_total{reason="schema"} 1.0' in text
    assert list(text_string_to_metric_families(text))
    _, text, kind = get(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_alive_while_the_event_loop_beats(server: MonitoringServer, health: Health, clock: Clock) -> None:
    clock.now = 50.0
    assert get(server, "/livez")[0] == 200  # starting
    health.beat()
    clock.now = 59.9
    assert get(server, "/livez")[:2] == (200, "ok\n")
    clock.now = 60.1
    assert get(server, "/livez")[:2] == (503, "failed\n")
    assert "silent for 10.1 s" in get(server, "/livez?verbose")[1]
    health.beat()
    assert get(server, "/livez")[0] == 200


def test_an_event_loop_that_never_begins_is_not_alive(server: MonitoringServer, clock: Clock) -> None:
    clock.now = 61.0
    assert get(server, "/livez")[0] == 503


def test_ready_when_every_condition_holds(server: MonitoringServer, health: Health) -> None:
    assert get(server, "/readyz")[:2] == (503, "failed\n")
    for condition in CONDITIONS:
        health.set(condition, True)
    assert get(server, "/readyz")[:2] == (200, "ok\n")
    health.set("not_draining", False)
    status, text, _ = get(server, "/readyz?verbose")
    assert status == 503
    assert text.splitlines() == [
        "[+] bundle_loaded", "[+] partitions_assigned", "[+] controls_recovered", "[-] not_draining", "failed",
    ]  # fmt: skip
    with pytest.raises(KeyError):
        health.set("made_coffee", True)


def test_unknown_paths_and_methods(server: MonitoringServer) -> None:
    assert get(server, "/")[0] == 404
    request = urllib.request.Request(server.url + "/metrics", method="POST")  # noqa: S310
    with pytest.raises(urllib.error.HTTPError, match="501") as refused:
        urllib.request.urlopen(request, timeout=5)  # noqa: S310
    refused.value.close()
    request = urllib.request.Request(server.url + "/livez", method="HEAD")  # noqa: S310
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        assert answer.read() == b""


def test_it_listens_on_loopback_only_and_frees_its_port(health: Health) -> None:
    server = MonitoringServer(CollectorRegistry(), health)
    with server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert server.port > 0
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{server.port}"):
            MonitoringServer(CollectorRegistry(), health, port=server.port)
        # A scraper that never finishes its request does not hold up the end.
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(b"GET /metr")
            server.stop()
    server.stop()
    MonitoringServer(CollectorRegistry(), health, port=server.port).stop()


def test_the_heartbeat_beats_and_measures_how_late_it_is() -> None:
    registry = CollectorRegistry()
    health, metrics = Health(), Metrics(registry)

    async def main() -> None:
        task = asyncio.create_task(heartbeat(health, metrics, interval=0.01))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert health.silent_for() < 0.5
    assert (registry.get_sample_value("feedranker_event_loop_lag_seconds_count") or 0) >= 2
    assert (registry.get_sample_value("feedranker_heartbeat_timestamp_seconds") or 0) > 1.6e9
