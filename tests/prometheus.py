"""A real Prometheus for tests, where Debian's package is installed."""

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from monitoring.alerts import failures, objectives
from monitoring.alerts.rules import Links, seconds, to_yaml

SHORTER = 20

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="NO PROMETHEUS: rules and dashboards are not tried for real (Debian's package is prometheus)",
)


class Prometheus:
    """One that listens on a free port of loopback and scrapes every second, as long as the context lasts."""

    def __init__(self, folder: Path, workers: Mapping[str, Sequence[str]], rules: Sequence[Path]) -> None:
        """`workers` are the monitoring addresses of workers, by the job that they belong to."""
        self._folder = folder
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": list(map(str, rules)),
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [url.removeprefix("http://") for url in urls]}]}
                for job, urls in workers.items()
            ],
        }
        self.config = folder / "prometheus.json"
        self.config.write_text(json.dumps(config))

    def __enter__(self) -> Self:
        self._start()
        try:
            self._wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def _start(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.url = f"http://{address}"
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus", f"--config.file={self.config}", f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={address}", "--log.level=warn",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def _wait_ready(self, timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2):  # noqa: S310  our own address
                    return
            except (urllib.error.URLError, OSError):
                assert self._process.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer. Raises AssertionError with Prometheus' own words for an error."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:  # noqa: S310
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def values(self, query: str) -> list[float]:
        return [float(one["value"][1]) for one in self.ask("query", query=query)["result"]]


def until(holds: Callable[[], object], timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def shorter_rules(folder: Path, late: str = "0.25") -> Path:
    """The rules that are shipped, with windows and waits of a `SHORTER` part; `late` are the seconds that lists, and an
    event loop, may take in place of 0.25: a bound of the histogram."""
    groups = objectives.RECORDING + failures.RECORDING + objectives.ALERTS + failures.ALERTS

    def shorter(duration: re.Match[str]) -> str:
        return f"{duration[1]}{max(1, seconds(duration[2]) // SHORTER)}s{duration[3]}"

    text = to_yaml(groups, Links())
    text = re.sub(r"(\[)(\d+[smhd])(\])", shorter, text)
    text = re.sub(r"( offset )(\d+[smhd])()\b", shorter, text)
    text = re.sub(r"(?m)^( +for: )(\d+[smhd])()$", shorter, text)
    text = text.replace('le="0.25"', f'le="{late}"')
    file = folder / "rules.yml"
    file.write_text(text)
    return file
