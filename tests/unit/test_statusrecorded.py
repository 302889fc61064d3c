"""What `ctrlrec status --prometheus` makes of Prometheus' answers."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from streams.status import Figure
from streams.statusrecorded import _QUERIES, _WITHOUT_RULES, Prometheus
from tests.unit.queries import KNOWN, metrics


class _Recorded(BaseHTTPRequestHandler):
    answers: dict[str, float]

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)["query"][0]
        found = [value for part, value in self.answers.items() if query.startswith(part)]
        labels = {"alertname": "NoLift", "severity": "ticket", "job": "ctrlrec"}
        body = {"data": {"result": [{"metric": labels, "value": [1, str(value)]} for value in found]}}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *arguments: object) -> None: ...


def recorded(**answers: float) -> tuple[HTTPServer, str]:
    handler = type("Handler", (_Recorded,), {"answers": answers})
    server = HTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}"


def test_what_prometheus_recorded() -> None:
    server, url = recorded(**{"up": 1, "job:feedranker_latency_errors": 0.2, "ALERTS": 1})
    try:
        seen = {figure.name: figure for figure in Prometheus(url).figures()}
    finally:
        server.shutdown()
        server.server_close()
    assert seen["workers"].verdict == "well"
    assert seen["slower than 250 ms, 5 m"] == Figure("slower than 250 ms, 5 m", "20 %", "at most 1 %", "wrong")
    assert seen["golden requests"].verdict == "unknown"
    assert seen["alert"].value == "NoLift (ticket)"


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ({"up": 1, "count by (job)": 7}, "wrong"),
        ({"up": 1, "job:feedranker_dead_letters:inc": 0}, "well"),
        ({"up": 0}, "unknown"),
    ],
)
def test_rules_that_are_not_evaluated_are_not_too_few_events(answers: dict[str, float], verdict: str) -> None:
    server, url = recorded(**answers)
    try:
        seen = {figure.name: figure for figure in Prometheus(url).figures()}
    finally:
        server.shutdown()
        server.server_close()
    assert seen["rules"].verdict == verdict


def test_it_asks_for_what_is_recorded() -> None:
    for query in [_WITHOUT_RULES, *(query for _, query, *_ in _QUERIES)]:
        assert metrics(query.replace("{}", ""))
        assert metrics(query.replace("{}", "")) <= KNOWN
