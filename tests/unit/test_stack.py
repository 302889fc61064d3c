"""The stack fits together: what it names exists, in the files beside it and in the code."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from monitoring.alerts import thresholds as t
from monitoring.generate import DASHBOARDS, ROOT
from streams.settings import PREFIX, Settings
from tests.unit.manifests import PORT, STACK, resource
from tests.unit.test_alerts import ALERTS, needs_promtool, promtool

DOCKERFILE = (STACK / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((STACK / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def has_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    asked = subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=60, check=False)
    return asked.returncode == 0


@pytest.mark.skipif(not has_compose(), reason="NO DOCKER COMPOSE: its own check of compose.yaml is left out")
def test_compose_reads_it() -> None:
    command = ["docker", "compose", "-f", str(STACK / "compose.yaml"), "config", "--quiet"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 0, answer.stderr


def test_every_setting_is_one() -> None:
    env = resource("Deployment")["spec"]["template"]["spec"]["containers"][0]["env"]
    named = {entry["name"]: entry.get("value") for entry in env}
    dockerfile = dict(re.findall(rf"({PREFIX}\w+)=(\S+)", DOCKERFILE))
    for variables in (*(service.get("environment", {}) for service in SERVICES.values()), named, dockerfile):
        ours = {name: value or "secret" for name, value in variables.items() if name.startswith(PREFIX)}
        Settings.from_environment(ours)
    assert SERVICES["worker"]["environment"] == SERVICES["topics"]["environment"]
    for variables in (SERVICES["worker"]["environment"], named, dockerfile):
        assert (variables["CTRLREC_MONITORING_PORT"], variables["CTRLREC_MONITORING_HOST"]) == (PORT, "0.0.0.0")  # noqa: S104


def test_every_path_exists() -> None:
    named = set(COMPOSE["volumes"])
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":/")[0]
            if source in named or source.startswith("${"):
                continue
            assert (STACK / source).resolve().exists(), (name, source)
    build = SERVICES["worker"]["build"]
    assert (STACK / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    for sources in re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", DOCKERFILE):
        assert all((ROOT / source).exists() for source in sources.split())


def test_only_this_machine_is_listened_to() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in ports)
    assert len(ports) == len(set(ports))


def test_what_serves_is_started_again() -> None:
    """Workers that come back after the machine has, and wait for a broker that does not, are no help."""
    assert {name for name, service in SERVICES.items() if service["restart"] != "unless-stopped"} == {"topics"}


def test_images_are_pinned() -> None:
    images = {service["image"] for service in SERVICES.values()} - {"ctrlrec-worker"}
    assert len(images) == 4
    assert all(re.search(r":v?\d+\.\d+\.\d+$", image) for image in images)
    assert all("latest" not in line for line in re.findall(r"(?m)^FROM .*$", DOCKERFILE))


def test_the_image_is_slim_unprivileged_and_looked_after() -> None:
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert final.startswith("python:3.11-slim\n")
    assert re.search(r"(?m)^USER 10001$", final)
    assert f"http://127.0.0.1:{PORT}/livez" in final
    assert "serve.txt" in DOCKERFILE  # and not what trains
    assert "--require-hashes" in DOCKERFILE
    pod = resource("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == 10001


_LACKING = """
import re, sys
from importlib.metadata import packages_distributions

class Lacking:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in LACKING:
            raise ModuleNotFoundError(f"{name} is not in the image")

has = set(sys.stdin.read().split())
found = {name: {re.sub("[-_.]+", "-", each).lower() for each in of} for name, of in packages_distributions().items()}
LACKING = {name for name, of in found.items() if not of & has}
sys.meta_path.insert(0, Lacking())
import streams.worker
from streams.cli import main
main()
"""
"""A command where nothing is installed but what standard input names."""


@pytest.mark.parametrize("command", ["worker", "topics", "dead-letters list", "bundle list", "status --once"])
def test_the_image_has_all_that_a_worker_s_commands_import(command: str, tmp_path: Path) -> None:
    pins = re.findall(r"(?m)^([\w.-]+)==", (ROOT / "constraints/serve.txt").read_text())
    assert "faust-streaming" in pins
    environment = os.environ | {
        "CTRLREC_KAFKA_BOOTSTRAP": "127.0.0.1:9", "CTRLREC_BUNDLE": str(tmp_path), "CTRLREC_MONITORING_PORT": "9",
    }  # fmt: skip
    python = [sys.executable, "-W", "ignore", "-c", _LACKING, *command.split()]
    answer = subprocess.run(
        python,
        input="\n".join([*pins, "ctrlrec"]),
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "not in the image" not in answer.stderr
    assert "Traceback" not in answer.stderr


def test_services_find_each_other() -> None:
    prometheus = yaml.safe_load((STACK / "prometheus.yml").read_text())
    (scrape,) = prometheus["scrape_configs"]
    assert re.fullmatch(t.JOBS, scrape["job_name"])
    assert scrape["dns_sd_configs"][0]["names"] == ["worker"]
    assert str(scrape["dns_sd_configs"][0]["port"]) == PORT
    assert float(prometheus["global"]["scrape_timeout"].rstrip("s")) > t.HUNG_SECONDS
    (alertmanager,) = prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    source = yaml.safe_load((STACK / "grafana/datasources/prometheus.yaml").read_text())["datasources"][0]
    hosts = [
        alertmanager,
        source["url"].removeprefix("http://"),
        SERVICES["worker"]["environment"]["CTRLREC_KAFKA_BOOTSTRAP"],
    ]
    assert [host.partition(":")[0] for host in hosts] == ["alertmanager", "prometheus", "kafka"]
    assert {host.partition(":")[0] for host in hosts} <= SERVICES.keys()
    assert f"INSIDE://{hosts[2]}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    (volume,) = SERVICES["kafka"]["volumes"]
    assert volume.split(":")[1] == SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"]
    provider = yaml.safe_load((STACK / "grafana/dashboards/ctrlrec.yaml").read_text())["providers"][0]
    mounted = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounted
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.rpartition("/")[2].removesuffix(".json") in DASHBOARDS


@needs_promtool
def test_prometheus_reads_its_configuration(tmp_path: Path) -> None:
    for name in ("recording", "alerts"):
        shutil.copy(ROOT / f"monitoring/alerts/{name}.yml", tmp_path)
    promtool("check", "config", shutil.copy(STACK / "prometheus.yml", tmp_path))


def test_alertmanager_knows_the_alerts() -> None:
    config = yaml.safe_load((STACK / "alertmanager.yml").read_text())
    receivers = {receiver["name"] for receiver in config["receivers"]}
    assert {config["route"]["receiver"], *(route["receiver"] for route in config["route"]["routes"])} == receivers
    names = {alert.name for alert in ALERTS}
    for rule in config["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            if matcher.startswith("alertname"):
                assert set(re.findall(r'"(.*)"', matcher)[0].split("|")) <= names
        assert rule["equal"][0] == "job"
    for rule in config["inhibit_rules"]:
        if "instance" not in rule["equal"] and re.search(r'"(Stalled|Down)"', rule["source_matchers"][0]):
            assert 'instance = ""' in rule["source_matchers"], "one worker would silence a job"
    (down,) = [rule for rule in config["inhibit_rules"] if rule["target_matchers"] == ['alertname = "Down"']]
    assert down["equal"] == ["job", "instance"], "one that hangs would keep another's end a secret"
