"""What a command that ends by a bug says of it: where and of what type, and nothing that may be a reader's or a secret."""

import os
import subprocess
import sys
from typing import Any

import pytest

from streams.replay.sidebyside import _child

TEXT, PASSWORD = "no horror, says canary-7", "canary-password-8"
COMMAND = """
import os, sys
from threading import Thread, current_thread
from unittest.mock import patch

from streams import cli


def fails(*_):
    password = os.environ["CTRLREC_KAFKA_PASSWORD"]
    if current_thread().name != "other":
        other = Thread(target=fails, name="other")
        other.start()
        other.join()
    raise KeyError(os.environ["TEXT"], password)


with patch("streams.kafka.Link", fails):
    cli.main()
"""
ASIDE = """
import logging, os
from streams.discreet import guard

guard()


class Odd:
    def __del__(self):
        raise KeyError(os.environ["TEXT"])


Odd()
try:
    raise ValueError(os.environ["TEXT"])
except ValueError:
    logging.getLogger("any").exception("met a bug")
"""


def run(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """With a login to a broker on this machine, which is never reached."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CTRLREC_")}
    login = {"SECURITY": "SASL_PLAINTEXT", "USER": "reader", "PASSWORD": PASSWORD, "BOOTSTRAP": "127.0.0.1:1"}
    kafka = {f"CTRLREC_KAFKA_{name}": value for name, value in login.items()}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=own | kafka | {"TEXT": TEXT}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def keeps_quiet(told: str) -> bool:
    return not any(word in told for word in (TEXT, "canary", PASSWORD))


@pytest.mark.parametrize("command", ["redrive", "worker"])
def test_a_command_that_crashes_says_where_and_quotes_nobody(command: str) -> None:
    ended = run(COMMAND, command)
    assert ended.returncode == 1
    assert keeps_quiet(ended.stdout + ended.stderr), ended.stderr
    assert ended.stderr.count("builtins.KeyError\n") == 2, "its thread's and its own"
    assert ended.stderr.startswith("Traceback of other, ")
    assert "kafka.py" in ended.stderr
    assert "with Link(host, port, context, timeout) as link:" in ended.stderr


def test_what_is_ignored_or_logged_quotes_nobody_either() -> None:
    ended = run(ASIDE)
    assert ended.returncode == 0
    assert keeps_quiet(ended.stderr), ended.stderr
    assert "Traceback of what is ignored" in ended.stderr
    assert "builtins.KeyError\nmet a bug\n" in ended.stderr
    assert "builtins.ValueError\n" in ended.stderr


@pytest.mark.usefixtures("hooks")
def test_a_process_of_a_replay_quotes_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def share(*_: object) -> int:
        raise KeyError(TEXT)

    monkeypatch.setattr("streams.replay.sidebyside.open_source", lambda *_: None)
    nothing: Any = type("Nothing", (), {"log": None, "settings": None})
    with pytest.raises(SystemExit) as ended:
        _child(share, nothing, nothing, 0, [0, 0, 0], None)
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert keeps_quiet(told), told
    assert "in share" in told
    assert told.endswith("builtins.KeyError\n")
