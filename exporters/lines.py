"""Texts from a stream of bytes, one a line."""

from typing import BinaryIO

from ranker.errors import DataError


def read_lines(stream: BinaryIO) -> list[str]:
    """The lines of `stream`. Raises DataError naming the line that is blank or not UTF-8, or if there is none."""
    texts = []
    for number, line in enumerate(stream.read().splitlines(), 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            where = f"byte {line[error.start]:#04x} at column {error.start + 1}"
            raise DataError(f"line {number} of standard input is not UTF-8: {where}") from error
        if not text.strip():
            raise DataError(f"line {number} of standard input is blank; every line is a text to embed")
        texts.append(text)
    if not texts:
        raise DataError("standard input is empty; give one text a line")
    return texts
