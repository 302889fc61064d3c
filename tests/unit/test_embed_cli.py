from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from exporters.cli import app
from ranker.errors import BundleError, ConfigError, CtrlrecError, DataError
from ranker.requesttext import request_text
from tests.unit.tiny_towers import TEXTS, bundle_folder, tower

LINES = [text for text in TEXTS if text]


def embed(out: Path, standard_input: bytes, *options: str) -> str:
    """Run `embed`; its standard error. Raises what the command raises."""
    arguments = ["embed", "--bundle", str(bundle_folder()), "--out", str(out), *options]
    result = CliRunner().invoke(app, arguments, input=standard_input)
    if isinstance(result.exception, CtrlrecError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def lines(texts: list[str]) -> bytes:
    return "\n".join(texts).encode() + b"\n"


@pytest.mark.parametrize("name", ["request", "item"])
def test_a_row_a_line(tmp_path: Path, name: str) -> None:
    embed(tmp_path / "vectors.npy", lines(LINES), "--tower", name)
    assert np.load(tmp_path / "vectors.npy").tobytes() == tower(name).embed_all(LINES).tobytes()


def test_the_context_is_read_beside_each_request(tmp_path: Path) -> None:
    embed(tmp_path / "bare_name", lines(LINES), "--context", "usually watches drama")
    expected = tower("request").embed_all([request_text(text, "usually watches drama") for text in LINES])
    assert np.load(tmp_path / "bare_name").tobytes() == expected.tobytes()
    with pytest.raises(ConfigError, match="--context"):
        embed(tmp_path / "x.npy", lines(LINES), "--context", "drama", "--tower", "item")


def test_windows_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    embed(tmp_path / "x.npy", b"\xef\xbb\xbfmore drama\r\nghosts")
    assert np.load(tmp_path / "x.npy").tobytes() == tower("request").embed_all(["more drama", "ghosts"]).tobytes()


@pytest.mark.parametrize(
    ("standard_input", "message"),
    [
        (b"", "standard input is empty"),
        (b"more drama\n\nghosts\n", "line 2 of standard input is blank"),
        (b"more drama\nno \xff horror\n", "line 2 of standard input is not UTF-8: byte 0xff at column 4"),
    ],
)
def test_bad_input_is_named_and_writes_nothing(tmp_path: Path, standard_input: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        embed(tmp_path / "x.npy", standard_input)
    assert not list(tmp_path.iterdir())


def test_places_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none/x\.npy cannot be written"):
        embed(tmp_path / "none" / "x.npy", b"ghosts\n")
    with pytest.raises(BundleError, match=r"manifest\.json is missing"):
        embed(tmp_path / "x.npy", b"ghosts\n", "--bundle", str(tmp_path))


def test_help_teaches_by_example() -> None:
    for command in ("export", "embed"):
        result = CliRunner().invoke(app, [command, "--help"])
        assert result.exit_code == 0
        assert f"ctrlrec {command} --t" in result.output
