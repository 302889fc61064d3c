"""Ways of saying things, one a line of a text file, in three splits whose phrasings are never mixed.

Training draws from `train`; choices are made on `dev`; `heldout` is used for nothing but the final figures. Where a line
has two sides (a tab between them), they are a wish and a refusal that look alike: a shape that occurred on one side only
would become the signal itself, and were all questions refusals, every question would be understood as one.

The usual phrasings come first in a file. Placeholders: `{x}` what is talked about; `{a}` and `{b}` two such things, and in
`but_not` only the first is wanted; `{n}` "movies" and its kin; `{d}` a decade; `{y}` a year.
"""

from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple, TypeAlias

Split: TypeAlias = Literal["train", "dev", "heldout"]


class Pair(NamedTuple):
    """One shape on both sides."""

    wish: str
    refusal: str


@cache
def phrasings(name: str, split: Split) -> tuple[str, ...]:
    """The lines of one file of a split."""
    return tuple(files(__package__).joinpath(split, f"{name}.txt").read_text().splitlines())


@cache
def pairs(name: str, split: Split) -> tuple[Pair, ...]:
    """The lines of a file whose lines have two sides."""
    return tuple(Pair(*line.split("\t")) for line in phrasings(name, split))
