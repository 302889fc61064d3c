"""What is ranked: lists of items of the bundle's catalogue, of users who asked for something."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np

from ranker.bundle import Bundle
from ranker.embed import RequestEmbedder
from ranker.events import CandidateList, Control, ControlRequest
from ranker.run import Steering
from ranker.vectors import IDS, ItemVectors
from streams.wire import encode

USERS = 400
MADE_AT = 1_750_000_000.0
REQUESTS = (
    "no horror please",
    "more documentaries",
    "less violence, more documentaries",
    "westerns from the 60s",
    "something different from what I usually watch",
    "I am sick of superheroes",
    "funny, but nothing romantic",
    "slow and quiet films about families",
    "surprise me",
    "old black and white detective stories with clever plots",
    "science fiction or fantasy, whichever is better reviewed",
    "musicals",
    "films that critics loved and hardly anybody saw",
    "what everybody is talking about right now",
    "I want to cry",
    "a good heist, preferably from the seventies, and please no car chases",
    "more like my favourites",
    "animated films that grown-ups enjoy too",
    "anything about the sea, submarines, islands or storms",
    "nothing with war in it, my children watch along this week and one of them has bad dreams",
    "thrillers",
    "crime dramas without gore",
    "uplifting true stories about sports, teams and coaches who change everything for a small town",
    "French comedies",
    "documentaries about music, jazz above all, but also how instruments are made and who plays them in the street",
)
"""As readers write them, from one word to a long sentence."""


@lru_cache
def load_bundle(folder: Path) -> Bundle:
    return Bundle.load(folder, threads=1)


def item_ids(folder: Path) -> list[str]:
    return msgspec.json.decode((folder / IDS).read_bytes(), type=list[str])


def user(number: int) -> str:
    return f"u{number % USERS}"


def candidate_lists(ids: Sequence[str], size: int, count: int, seed: int = 0) -> Iterator[CandidateList]:
    """Lists of `size` items in no order, their scores with all the digits that a float has."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        chosen = rng.choice(len(ids), size, replace=False)
        yield CandidateList(
            event_id=f"e{number}",
            user_id=user(number),
            item_ids=[ids[row] for row in chosen.tolist()],
            base_scores=rng.random(size).tolist(),
            created_at=MADE_AT + number,
        )


def encoded_lists(ids: Sequence[str], size: int, count: int) -> list[bytes]:
    return list(map(encode, candidate_lists(ids, size, count)))


def controls(bundle: Bundle) -> list[Control]:
    """One of each user, in the order of their numbers."""
    embedder = RequestEmbedder(bundle)
    return [
        embedder.control(
            ControlRequest(
                event_id=f"r{number}",
                user_id=user(number),
                op="set",
                created_at=MADE_AT - 1,
                text=REQUESTS[number % len(REQUESTS)],
            )
        )
        for number in range(USERS)
    ]


def steerings(bundle: Bundle) -> dict[str, Steering]:
    return {control.user_id: Steering.of(control) for control in controls(bundle)}


def large_catalogue(size: int, dimension: int) -> ItemVectors:
    """`size` random items, named by their numbers: more than any cache holds."""
    values = np.random.default_rng(0).integers(-127, 128, (size, dimension), np.int8).astype(np.float32)
    return ItemVectors([str(row) for row in range(size)], values, np.full(size, 0.002, np.float32))
