"""Real faults under a real Prometheus: the alert that is named for a fault fires, and none of the others.

Every fault has a worker and a job of its own, so all of them happen at once, and each job shows that the others' alerts
stay silent. The rules are the ones that are shipped, with every window and wait a twentieth as long. Where many workers
share a test's few cores, what must take 250 ms may take ten times as long; faults that make a worker slow have a scene
of two workers, and the limits that are shipped.
"""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from rich.table import Table

from monitoring.alerts import failures, objectives
from monitoring.alerts.rules import Links, to_yaml
from streams.broker import EmbeddedBroker
from streams.settings import Settings
from tests.faults.scenes import Fault, Scene, causes, followed, inputs, slowness
from tests.live import live_settings
from tests.oracle import REPORT
from tests.prometheus import SHORTER, Prometheus, needs_prometheus, shorter_rules
from tests.proxy import Proxy
from tests.unit.slow_towers import slow_bundle_folder
from tests.unit.test_alerts import ALERTS
from tests.wordbundle import shuffle_items, word_bundle

pytestmark = [pytest.mark.faults, pytest.mark.alone, needs_prometheus]

PATIENCE = 200.0
LINGER = 3.0
"""Seconds that an alert fires before the matrix is drawn, so that others have the time to fire, too."""
Make = Callable[[list[Fault]], list[Scene]]


@pytest.fixture
def link() -> Iterator[Proxy]:
    """The only way to a broker of its own."""
    with Proxy() as proxy, EmbeddedBroker(advertised=proxy.address) as broker:
        proxy.target = "127.0.0.1", broker.port
        yield proxy


@pytest.fixture
def scenes(embedded: str, link: Proxy, tmp_path: Path) -> Iterator[Make]:
    """Workers that are ready and under traffic soon."""
    bundles = {name: word_bundle(tmp_path / name) for name in ("words", "shuffled")}
    shuffle_items(bundles["shuffled"])
    made: list[Scene] = []

    def make(faults: list[Fault]) -> list[Scene]:
        for fault in faults:
            bundle = slow_bundle_folder() if fault.bundle == "slow" else bundles[fault.bundle]
            broker = link.address if fault.linked else embedded
            settings = live_settings(
                broker, bundle, weight=fault.weight, partitions=1, fetch_wait=0.05, canary_interval=5.0
            )
            made.append(Scene(fault, settings, tmp_path, link))
            made[-1].worker.start()
        for scene in made:
            scene.worker.wait_ready(120)
        link.late = max(fault.late for fault in faults)
        return made

    try:
        yield make
    finally:
        link.late = 0.0
        link.let_in()
        for scene in made:
            scene.close()


GROUPS = [(causes, "2.5"), (followed, "2.5"), (inputs, "2.5"), (slowness, "0.25")]


@pytest.mark.parametrize(("faults", "limit"), GROUPS)
def test_a_fault_fires_its_alert_and_no_other(
    scenes: Make, faults: Callable[[], list[Fault]], limit: str, tmp_path: Path
) -> None:
    played = scenes(faults())
    workers = {scene.fault.job: [scene.worker.monitoring] for scene in played}
    with Prometheus(tmp_path, workers, [shorter_rules(tmp_path, limit)]) as prometheus:
        deadline = time.monotonic() + PATIENCE
        while prometheus.values("sum(up)") != [float(len(played))] and time.monotonic() < deadline:
            time.sleep(0.5)
        time.sleep(2)  # a counter must have been seen before it rises
        for scene in played:
            scene.start()
        while any(_open(scene) for scene in played) and time.monotonic() < deadline:
            _look(prometheus, played)
            time.sleep(0.5)
        held = {
            scene.fault.job: prometheus.ask("query", query=f'ALERTS{{job="{scene.fault.job}"}}') for scene in played
        }
    with (console := Console(width=150)).capture() as drawn:
        console.print(_matrix([scene.fault for scene in played]))
    REPORT.extend(drawn.get().splitlines())
    for fault in (scene.fault for scene in played):
        assert fault.alert in fault.fired, (fault.name, fault.fired, held[fault.job])
        assert set(fault.fired) - fault.promises == {fault.alert}, (fault.name, fault.fired)


def test_every_alert_has_a_fault_of_its_own() -> None:
    assert {fault.alert for faults, _ in GROUPS for fault in faults()} == {alert.name for alert in ALERTS}


def _open(scene: Scene) -> bool:
    """Whether more is to be seen of it: its alert has not fired, or not for long."""
    first = scene.fault.fired.get(scene.fault.alert)
    return first is None or time.time() < scene.began + first + LINGER


def _look(prometheus: Prometheus, scenes: list[Scene]) -> None:
    """Note which alerts fire, of scenes that are still open: a worker that has been paused for long is down, too. The
    others are still, so that they starve nobody."""
    firing = [one["labels"] for one in prometheus.ask("alerts")["alerts"] if one["state"] == "firing"]
    for scene in filter(_open, scenes):
        fault = scene.fault
        for labels in (each for each in firing if each.get("job") == fault.job):
            # An alert that has several causes is to fire for this one.
            if labels["alertname"] != fault.alert or fault.cause in ("", labels.get("cause")):
                fault.fired.setdefault(labels["alertname"], max(0.0, time.time() - scene.began))
    for scene in scenes:
        if not _open(scene):
            scene.be_still()


def _matrix(faults: list[Fault]) -> Table:
    """Faults by alerts; in a cell the seconds from the fault to the alert."""
    causes = sorted({alert.name for alert in ALERTS})
    seen = [name for name in causes if any(name in fault.fired or name == fault.alert for fault in faults)]
    silent = [name for name in causes if name not in seen]
    table = Table(
        "fault", *seen, title=f"seconds to fire, windows {SHORTER} times shorter; silent: {', '.join(silent)}"
    )
    for fault in faults:
        table.add_row(fault.name, *(f"{fault.fired[name]:.0f}" if name in fault.fired else "·" for name in seen))
    return table


def test_windows_are_shortened_and_nothing_else(tmp_path: Path) -> None:
    text = shorter_rules(tmp_path, "0.25").read_text()
    groups = objectives.RECORDING + failures.RECORDING + objectives.ALERTS + failures.ALERTS
    whole = to_yaml(groups, Links())
    assert "[180s]" in text
    windows = r"\[\d+\w\]|(?:for:|offset) \d+\w"
    assert re.sub(windows, "", text) == re.sub(windows, "", whole)
    assert not re.search(r"\[\d+[mhd]\]|(?:for:|offset) \d+[mhd]", text)
    assert shorter_rules(tmp_path, "2.5").read_text().replace('le="2.5"', 'le="0.25"') == text


def test_a_setting_of_0_is_what_a_worker_reads() -> None:
    """Otherwise the fault would be none."""
    settings = msgspec.structs.replace(Settings(), weight=0.0)
    assert Settings.from_environment(settings.environment()).weight == 0
