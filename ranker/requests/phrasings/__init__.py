"""Ways of saying things, one a line of a text file, in four splits whose phrasings are never mixed.

Training draws from `train`; choices are made on `dev`; the two others are held out, for nothing but final figures. `usual` has
what most readers would write, by an author who knew none of the other splits, and what is in it was taken out of `train`;
`heldout` has turns of phrase as rare as they come, and what comes near one of them was taken out, too. Where a line
has two sides (a tab between them), they are a wish and a refusal that look alike: a shape that occurred on one side only
would become the signal itself, and were all questions refusals, every question would be understood as one.

The usual phrasings come first in a file. Placeholders: `{x}` what is talked about; `{a}` and `{b}` two such things, and in
`but_not` only the first is wanted; `{n}` "movies" and its kin; `{d}` a decade; `{y}` a year.
"""

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple, TypeAlias

Split: TypeAlias = Literal["train", "dev", "usual", "heldout"]

_HELD_OUT: tuple[Split, ...] = ("dev", "usual", "heldout")


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


def digest(split: Split) -> str:
    """SHA-256 of all that a split says."""
    folder = files(__package__).joinpath(split)
    said = sorted((file.name, file.read_bytes()) for file in folder.iterdir() if file.name.endswith(".txt"))
    return hashlib.sha256(repr(said).encode()).hexdigest()


def bare(phrasing: str) -> str:
    """What is left of it without capitals and punctuation: two that are the same so are one phrasing."""
    return " ".join(re.findall(r"[a-z0-9{}]+", phrasing.casefold().replace("'", "")))


@cache
def held_out(name: str) -> frozenset[str]:
    """The lines of a file that no training may say, each side of them `bare`."""
    return frozenset(bare(side) for split in _HELD_OUT for line in phrasings(name, split) for side in line.split("\t"))
