"""Topics of an open vocabulary: what readers may ask for beyond what a catalogue has facts of."""

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

from ranker.catalogue import Catalogue
from ranker.errors import DataError

RAREST, COMMONEST = 2.5, 5.0
"""Zipf frequencies of English, 3 being one in a million words: below are names and misspellings, above are and, that, with."""
SHORTEST = 4
FEWEST_TEXTS = 300
LOOKED_THROUGH, COMMON_FROM = 20_000, 3.3


def catalogue_words(catalogue: Catalogue) -> list[str]:
    """The words of the catalogue's titles that are neither too rare nor too common to be asked for, sorted."""
    from wordfreq import zipf_frequency

    titles = {word for item in catalogue.items for word in re.findall(rf"[a-z]{{{SHORTEST},}}", item.title.lower())}
    return sorted(word for word in titles if RAREST <= zipf_frequency(word, "en") <= COMMONEST)


def common_words() -> list[str]:
    """Words of everyday English that may be asked for, the commonest first."""
    from wordfreq import top_n_list, zipf_frequency

    words = [word for word in top_n_list("en", LOOKED_THROUGH) if word.isalpha() and len(word) >= SHORTEST]
    return [word for word in words if COMMON_FROM <= zipf_frequency(word, "en") <= COMMONEST]


@cache
def things() -> tuple[str, ...]:
    """What people take an interest in, in two to four words: written by hand, in no order."""
    return tuple(files(__package__).joinpath("things.txt").read_text().splitlines())


def read_words(path: Path) -> list[str]:
    """One topic a line, blank lines left out. Raises DataError where there is none, or one could be taken for a phrasing."""
    try:
        words = list(dict.fromkeys(" ".join(line.split()) for line in path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text: {error}") from error
    for number, word in enumerate(words, start=1):
        if "{" in word or "}" in word:
            raise DataError(f"{path}: line {number}: {word!r} holds a brace")
    words = [word for word in words if word]
    if len(words) < 2:
        raise DataError(f"{path}: holds {len(words)} topics; at least two are needed, one a line")
    return words


def read_texts(path: Path) -> list[str]:
    """One text a line, blank lines left out. Raises DataError where it cannot be read or there are hardly any."""
    try:
        texts = list(
            dict.fromkeys(line for row in path.read_text(encoding="utf-8").splitlines() if (line := row.strip()))
        )
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text: {error}") from error
    if len(texts) < FEWEST_TEXTS:
        raise DataError(f"{path}: holds {len(texts)} texts; {FEWEST_TEXTS} are needed, one a line")
    return texts
