"""What is installed is what was looked at: every package is pinned to a version and to the hashes of its files."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "constraints"
PIN = re.compile(r"[A-Za-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+( ; [^\\]+)?( \\\n +--hash=sha256:[0-9a-f]{64})+")


def pins(text: str) -> list[str]:
    """The requirements, each with the lines that go on from it."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [each for each in re.split(r"\n(?=\S)", lines.strip()) if each]


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.txt")), ids=lambda file: file.stem)
def test_every_package_is_pinned_with_hashes(file: Path) -> None:
    required = pins(file.read_text())
    assert required
    assert [each for each in required if not PIN.fullmatch(each.strip())] == []
