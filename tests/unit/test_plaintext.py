"""Which hosts count as this machine, and what is said before http goes to another."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ranker.judges.asking import confirm
from ranker.judges.llm import LlmSettings
from ranker.judges.llm.estimate import Estimate
from ranker.plaintext import on_this_machine, warn_of_plaintext
from streams.commands import app


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_is_this_machine(host: str) -> None:
    assert on_this_machine(host)


@pytest.mark.parametrize("host", ["127.evil.example", "127.", "10.0.0.1", "localhost.example", "0.0.0.0", "::", ""])  # noqa: S104  no address to listen on
def test_no_other_name_or_address_is(host: str) -> None:
    assert not on_this_machine(host)


def test_one_line_names_every_host_beyond_it_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_plaintext("figures", ["https://a.example", "http://127.0.0.1:9108", "http://[::1]:1", "http://[::", "b"])
    assert capsys.readouterr().err == ""
    warn_of_plaintext("figures", ["http://user:canary@a.example:1/v1", "http://10.0.0.5", "http://a.example:2"])
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert told.err.startswith("ctrlrec: a.example, 10.0.0.5: http carries figures in the clear")
    assert "canary" not in told.err
    assert told.out == ""


@pytest.mark.parametrize("address", [["http://nowhere.invalid:9108"], ["--prometheus", "http://nowhere.invalid:9090"]])
def test_status_says_so_once(address: list[str]) -> None:
    seen = CliRunner().invoke(app, ["status", "--once", "--interval", "0.2", *address])
    assert seen.exit_code == 1  # nobody answers
    assert seen.stderr.count("nowhere.invalid: http carries figures in the clear") == 1


@pytest.mark.parametrize(("host", "lines"), [("model.example", 1), ("localhost", 0)])
def test_a_language_model_is_not_asked_without_saying_so(
    host: str, lines: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = LlmSettings(url=f"http://{host}/v1", model="m", key="canary-7", cache=tmp_path / "llm.sqlite")
    confirm(Estimate(1, 0, 1, 10, 5, None, 1.0, False), settings, yes=True)
    told = capsys.readouterr().err
    assert told.count(f"{host}: http carries readers' tastes and the key in the clear") == lines
    assert "canary-7" not in told
