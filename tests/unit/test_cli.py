import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ranker import __version__
from ranker.errors import BrokerError
from streams import cli
from streams.commands import app as stream_commands

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("CTRLREC_")}


def ctrlrec(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        capture_output=True, text=True, timeout=60, env=ENVIRONMENT | environment, check=False,
    )  # fmt: skip


class Point:
    """An entry point, as far as `cli.build` needs it."""

    def __init__(self, name: str, app: typer.Typer) -> None:
        self.name, self.load = name, lambda: app


def test_version() -> None:
    done = ctrlrec("--version")
    assert (done.returncode, done.stdout) == (0, f"ctrlrec {__version__}\n")


def test_commands_of_every_part_stand_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    other = typer.Typer()

    @other.callback()
    def about() -> None:
        """Another part."""

    @other.command()
    def paint(colour: str) -> None:
        """Paint it."""
        typer.echo(f"painted {colour}")

    points = [Point("streams", stream_commands), Point("other", other)]
    monkeypatch.setattr(cli, "entry_points", lambda group: points if group == "ctrlrec.commands" else [])
    runner, app = CliRunner(), cli.build()
    assert runner.invoke(app, ["paint", "red"]).output == "painted red\n"
    listed = runner.invoke(app, ["--help"]).output
    assert all(name in listed for name in ("paint", "broker", "topics", "replay"))
    assert runner.invoke(app, []).exit_code == 2


def test_what_is_wrong_outside_the_program_is_said_without_a_traceback() -> None:
    done = ctrlrec("topics", CTRLREC_KAFKA_BOOTSTRAP=f"127.0.0.1:{closed_port()}")
    assert done.returncode == 2
    assert done.stderr.startswith("ctrlrec: cannot connect to Kafka: 127.0.0.1:")
    assert "refuses connections" in done.stderr
    assert "Traceback" not in done.stderr
    done = ctrlrec("topics", CTRLREC_PARTITIONS="none", CTRLREC_KAFKA_PASSWORD="canary-9")
    assert done.returncode == 2
    assert "CTRLREC_PARTITIONS" in done.stderr
    assert "canary-9" not in done.stderr + done.stdout


def test_replay_without_a_bundle_says_so(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("{}\n")
    done = ctrlrec("replay", str(log), "--out", str(tmp_path / "out"), "--bundle", str(tmp_path / "none"))
    assert done.returncode == 2
    assert "none" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("hooks")
def test_a_bug_keeps_its_traceback_but_not_what_it_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bug = typer.Typer()

    @bug.callback(invoke_without_command=True)
    def broken() -> None:
        raise ZeroDivisionError(ENVIRONMENT)

    monkeypatch.setattr(cli, "build", lambda: bug)
    monkeypatch.setattr(sys, "argv", ["ctrlrec"])
    with pytest.raises(ZeroDivisionError) as caught:
        cli.main()
    sys.excepthook(caught.type, caught.value, caught.tb)
    told = capsys.readouterr().err
    assert told.startswith("Traceback")
    assert "in broken\n    raise ZeroDivisionError(ENVIRONMENT)" in told
    assert told.endswith("builtins.ZeroDivisionError\n")


@pytest.mark.usefixtures("hooks")
@pytest.mark.parametrize(("error", "status"), [(BrokerError("gone"), 2), (KeyboardInterrupt(), 130)])
def test_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, status: int
) -> None:
    def broken() -> typer.Typer:
        raise error

    monkeypatch.setattr(cli, "build", broken)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == status
    assert capsys.readouterr().err == ("ctrlrec: gone\n" if status == 2 else "")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_broker_command_runs_until_it_is_told_to_stop(how: signal.Signals) -> None:
    port = closed_port()
    command = subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "broker", "--port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    with command:
        assert command.stdout
        assert f"127.0.0.1:{port}" in command.stdout.readline()
        assert f"CTRLREC_KAFKA_BOOTSTRAP=127.0.0.1:{port}" in command.stdout.readline()
        assert ctrlrec("topics", CTRLREC_KAFKA_BOOTSTRAP=f"127.0.0.1:{port}").stdout.count("created") == 8
        command.send_signal(how)
        assert command.wait(20) == 0
        assert command.stderr
        assert command.stderr.read() == ""
    deadline = time.monotonic() + 5
    while listening(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not listening(port)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
