"""Which process runs which tests, in which order; and what they make once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitoring.generate import ROOT
from tests.beside import mixed, share_of


@pytest.mark.parametrize(
    ("test", "share"),
    [
        ("tests/unit/test_rank.py::test_order[kafka]", "tests/unit/test_rank.py"),
        ("tests/integration/test_tls.py::test_x[PLAIN]", "tests/integration/test_tls.py"),
        ("tests/integration/test_client.py::test_x[kafka]", "tests/integration/test_client.py on kafka"),
        ("tests/integration/test_redrive.py::test_x[embedded-True]", "tests/integration/test_redrive.py on embedded"),
        ("tests/integration/test_worker_items.py::test_x[kafka]", "worker on kafka"),
        ("tests/integration/test_worker_events.py::test_x[kafka-no text]", "worker on kafka"),
        ("tests/integration/test_worker_process.py::test_x", "tests/integration/test_worker_process.py"),
        ("tests/faults/test_odd_inputs.py::test_x", "tests/faults/test_odd_inputs.py"),
    ],
)
def test_a_file_is_run_by_one_process_and_its_halves_on_two_brokers_may_be_by_two(test: str, share: str) -> None:
    assert share_of(test) == share


def test_what_waits_is_spread_among_what_computes_and_the_longest_begins() -> None:
    computing = [f"tests/unit/test_{letter}.py" for letter in "abcdef"]
    waiting = ["tests/integration/test_broker.py", "worker on embedded"]
    order = mixed([*waiting, *computing, "tests/unit/test_train.py"])
    assert [share for share in order if share in waiting] == waiting[::-1]
    assert order[0] == "tests/unit/test_train.py"
    assert [share for share in order if share in computing] == computing
    first, second = map(order.index, waiting[::-1])
    assert (first, second - first) == (2, 4)


CASE = """
import os
from pathlib import Path

import pytest

from tests.once import folder
from tests.unit.tiny_towers import data


@pytest.mark.parametrize("number", range(3))
def test_it(number: int, embedded: str) -> None:
    assert data().is_dir()  # to make it a second time would fail
    for told in (embedded, str(folder())):
        Path(os.environ["SEEN"], f"{os.getpid()} {told}".replace("/", "|")).touch()
"""


def test_processes_share_a_broker_and_what_is_made_once_and_clean_up(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    (tmp_path / "conftest.py").write_text(
        "from tests.conftest import *\nfrom tests.conftest import _own_settings, _told\n"
    )
    for name in ("one", "two"):
        (tmp_path / f"test_{name}.py").write_text(CASE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_HOME", "PYTEST"))}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "--dist",
        "loadfile",
        "-c",
        str(ROOT / "pyproject.toml"),
    ]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), str(tmp_path)], cwd=ROOT, env=environment | {"SEEN": str(seen)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = [path.name.split(" ", 1) for path in seen.iterdir()]
    assert len({process for process, _ in said}) == 2
    brokers, folders = ({what for _, what in said if ("|" in what) == kind} for kind in (False, True))
    assert (len(brokers), len(folders)) == (1, 1)
    assert not Path(folders.pop().replace("|", "/")).exists()
