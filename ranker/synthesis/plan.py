"""What a run of `ctrlrec synthesize` makes: all that its bytes depend on."""

import hashlib
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from ranker.errors import DataError
from ranker.requests import Category, Split

MANIFEST = "manifest.json"
Side: TypeAlias = Literal["train", "heldout"]
GROUP = 8192
"""Triples of a row group, about."""
GROUPS_A_FILE = 4
"""Row groups of a file. A run that was killed begins its last file anew."""
SPLITS = ("phrasing_split", "item_split", "user_split", "category_split")
"""Columns of the triples."""
PHRASINGS: dict[Split, float] = {"train": 0.8, "dev": 0.1, "heldout": 0.1}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs of the same plan write the same bytes, interrupted or not."""

    judge: str
    seed: int
    triples: int
    """At least so many; the last row group is not cut."""
    positives: int = 10
    """Of a request at most; as many hard negatives go with them."""
    random: int = 4
    """Further items of a request, drawn from the whole catalogue."""
    catalogue: str
    """sha256 over the items."""
    interactions: str | None = None
    """sha256 over who rated what: users and their tastes are drawn from it."""
    words: str | None = None
    """sha256 over the open vocabulary."""
    requests: str | None = None
    """sha256 over the file of written requests."""
    items_held_out: float = 0.2
    users_held_out: float = 0.1
    categories_held_out: tuple[Category, ...] = ()

    @property
    def groups(self) -> int:
        """Row groups of the whole run."""
        return -(-self.triples // self.group)

    @property
    def group(self) -> int:
        """Triples of a row group."""
        return min(GROUP, self.triples)

    @property
    def files(self) -> int:
        """Parquet files of the whole run."""
        return -(-self.groups // GROUPS_A_FILE)

    def groups_of(self, file: int) -> range:
        """The row groups of one file."""
        return range(file * GROUPS_A_FILE, min((file + 1) * GROUPS_A_FILE, self.groups))

    def side(self, kind: Literal["item", "user"], name: str) -> Side:
        """On which side of a split an item or a user lies: by a hash of its id, so that it stays there as others come."""
        share = self.items_held_out if kind == "item" else self.users_held_out
        digest = hashlib.sha256(f"{self.seed} {kind} {name}".encode()).digest()
        return "heldout" if int.from_bytes(digest[:8]) < share * 2**64 else "train"

    def category_side(self, category: Category) -> Side:
        """On which side a whole category lies."""
        return "heldout" if category in self.categories_held_out else "train"


def phrasing_of(text: str) -> Split:
    """The split of a written request: by a hash of its text, in the shares of the phrasings that ship."""
    place = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
    return (
        "train" if place < PHRASINGS["train"] else "dev" if place < PHRASINGS["train"] + PHRASINGS["dev"] else "heldout"
    )


def begin(out: Path, plan: Plan) -> None:
    """Write the plan into the manifest, or find it there. Raises DataError where `out` holds something else."""
    path = out / MANIFEST
    out.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        if any(out.glob("*.parquet")):
            raise DataError(f"{out}: holds Parquet files, but no {MANIFEST}; choose another --out")
        write_manifest(out, plan)
        return
    try:
        there = msgspec.json.decode(path.read_bytes(), type=Manifest).plan
    except msgspec.MsgspecError as error:
        raise DataError(f"{path}: {error}; choose another --out") from error
    if there != plan:
        names = [name for name in plan.__struct_fields__ if getattr(there, name) != getattr(plan, name)]
        was = ", ".join(f"{name} {getattr(there, name)}, not {getattr(plan, name)}" for name in names)
        raise DataError(
            f"{out}: holds triples of another run ({was}); choose another --out, or repeat that run's options"
        )


class Written(msgspec.Struct, frozen=True):
    """One finished file."""

    name: str
    triples: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """manifest.json. The columns of the triples say for each row on which side of which split it lies."""

    plan: Plan
    complete: bool = False
    files: tuple[Written, ...] = ()
    phrasing_split: dict[Split, float] = msgspec.field(default_factory=lambda: dict(PHRASINGS))
    """Shares of the requests: train, dev and held-out phrasings are never mixed."""
    items_held_out: tuple[str, ...] = ()
    users_held_out: tuple[str, ...] = ()


def write_manifest(
    out: Path, plan: Plan, files: tuple[Written, ...] = (), items: tuple[str, ...] = (), users: tuple[str, ...] = ()
) -> None:
    """Whole or not at all; with `files`, as that of a finished run."""
    manifest = Manifest(plan, bool(files), files, items_held_out=items, users_held_out=users)
    partial = out / f"{MANIFEST}.part"
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    partial.replace(out / MANIFEST)
