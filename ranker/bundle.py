"""A bundle: the one directory that serving loads, all of it checked against its manifest before any of it is used.

The hashes tell a damaged or half-copied bundle from a whole one. They are no signature: whoever can write a bundle can
write its manifest too.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from ranker.canaries import CanarySet
from ranker.errors import BundleError
from ranker.familiarity import Projections, References, Requests
from ranker.fusion import Method
from ranker.rank import Model
from ranker.towers import Tower
from ranker.vectors import IDS, MAX_DIMENSION, SCALES, VECTORS, ItemVectors

T = TypeVar("T")
FORMAT = "ctrlrec-bundle/1"
MANIFEST, TOKENIZER, CALIBRATION = "manifest.json", "tokenizer.json", "calibration.json"
REQUEST_TOWER, ITEM_TOWER = "request_tower.onnx", "item_tower.onnx"
FILES = (CALIBRATION, IDS, SCALES, VECTORS, ITEM_TOWER, REQUEST_TOWER, TOKENIZER)
"""What a bundle of this format holds beside its manifest: all of these, and nothing else."""

TowerName = Literal["request", "item"]
Precision = Literal["int8", "fp32"]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Calibration(Struct, frozen=True):
    """What turns a cosine into an alignment: 1 / (1 + exp(-(slope · cosine + intercept)))."""

    slope: float
    intercept: float


class BundleCalibration(Calibration, frozen=True):
    """calibration.json: that, and what the bundle is watched by. Bundles of 0.1.0 have none of the latter."""

    references: References | None = None
    canaries: CanarySet | None = None


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bundle is and which bytes it is made of."""

    format: str
    name: str
    version: str
    """The first 12 hex digits of a sha256 over all the rest of the manifest, and so over every file's hash."""
    backbone: str
    dimension: Annotated[int, Meta(ge=1, le=MAX_DIMENSION)]
    max_length: Annotated[int, Meta(ge=2)]
    """Tokens of a text that a tower reads."""
    quantization: dict[TowerName, Precision]
    files: dict[str, Sha256]
    training: dict[str, object]
    """As the training wrote it: backbone, seed, evaluation table."""
    parity: dict[str, float]
    """How far the served towers are from the trained ones."""

    def digest(self) -> str:
        """What `version` has to be."""
        rest = msgspec.json.encode(msgspec.structs.replace(self, version=""), order="deterministic")
        return hashlib.sha256(rest).hexdigest()[:12]


class _Format(Struct, frozen=True):
    format: str


class Bundle:
    """A verified bundle. `Bundle.load` makes one."""

    def __init__(self, folder: Path, manifest: Manifest, threads: int) -> None:
        self.folder, self.manifest, self._threads = folder, manifest, threads
        self.items = ItemVectors.load(folder)
        self.built_at = (folder / VECTORS).stat().st_mtime
        """When the item vectors were written, in seconds since 1970, as far as copies keep a file's time."""
        self.calibration = _decode(folder / CALIBRATION, BundleCalibration)
        self.request_tower = self._tower(REQUEST_TOWER)
        self.familiarity: Requests | None = None
        self.item_places: Projections | None = None
        self.canaries: CanarySet | None = self.calibration.canaries
        if references := self.calibration.references:
            self.familiarity = Requests(references.request, manifest.dimension, self.request_tower.pieces)
            self.item_places = Projections(references.item, manifest.dimension)
        if self.items.dimension != manifest.dimension:
            raise BundleError(f"{folder / VECTORS} has {self.items.dimension} dimensions, not {manifest.dimension}")

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1) -> "Bundle":
        """Verify and load; `threads` is how many one tower call may use.

        Raises BundleError naming the file that is missing, damaged, unexpected or of another format.
        """
        manifest = read_manifest(folder)
        if wrong := damage(folder, manifest):
            raise BundleError("; ".join(wrong))
        return cls(folder, manifest, threads)

    @property
    def version(self) -> str:
        return self.manifest.version

    @cached_property
    def item_tower(self) -> Tower:
        """Loaded on first use: few workers meet new items. Raises BundleError if the file has been replaced since."""
        # A newer bundle may have been moved to the same place; its vectors must not pass for this one's.
        _verify(self.folder / ITEM_TOWER, self.manifest.files[ITEM_TOWER])
        _verify(self.folder / TOKENIZER, self.manifest.files[TOKENIZER])
        return self._tower(ITEM_TOWER)

    def model(self, weight: float, fusion: Method = "rank") -> Model:
        """What `ranker.rank.rank` takes, with the platform's weight and way of fusing."""
        return Model(self.version, self.items, self.calibration.slope, self.calibration.intercept, weight, fusion)

    def _tower(self, name: str) -> Tower:
        file, wanted = self.folder / name, self.manifest.dimension
        tower = Tower(file, self.folder / TOKENIZER, max_length=self.manifest.max_length, threads=self._threads)
        if tower.dimension != wanted:
            raise BundleError(f"{file} gives vectors of {tower.dimension} dimensions, not {wanted}")
        return tower


def read_manifest(folder: Path) -> Manifest:
    """What the bundle in `folder` says of itself; its files are not looked at.

    Raises BundleError where it is missing, damaged, or of a format that this version does not serve.
    """
    # Another format may have other fields, and is not to be called damaged for them.
    if (found := _decode(folder / MANIFEST, _Format).format) != FORMAT:
        raise BundleError(f"{folder} is of format {found!r}; this version serves {FORMAT!r}")
    manifest = _decode(folder / MANIFEST, Manifest)
    if manifest.version != manifest.digest():
        raise BundleError(f"{folder / MANIFEST} is damaged: it amounts to {manifest.digest()}, not {manifest.version}")
    if unlike := set(manifest.files) ^ set(FILES):
        raise BundleError(f"{folder / MANIFEST} must list {', '.join(FILES)}; unlike: {_names(unlike)}")
    return manifest


def damage(folder: Path, manifest: Manifest) -> list[str]:
    """What is wrong with each file of the bundle: nothing, if it is whole."""
    wrong = []
    if extra := {path.name for path in folder.iterdir()} - {*FILES, MANIFEST}:
        wrong.append(f"{folder} holds what its manifest does not: {_names(extra)}")
    for name in FILES:
        try:
            _verify(folder / name, manifest.files[name])
        except BundleError as error:
            wrong.append(str(error))
    return wrong


def write_manifest(
    folder: Path,
    *,
    name: str,
    backbone: str,
    dimension: int,
    max_length: int,
    quantization: Mapping[TowerName, Precision],
    training: Mapping[str, object],
    parity: Mapping[str, float],
) -> Manifest:
    """Hash the finished files in `folder` and seal them with a manifest. Raises BundleError if one is missing."""
    manifest = Manifest(
        format=FORMAT,
        name=name,
        version="",
        backbone=backbone,
        dimension=dimension,
        max_length=max_length,
        quantization=dict(quantization),
        files={file: sha256(folder / file) for file in FILES},
        training=dict(training),
        parity=dict(parity),
    )
    manifest = msgspec.structs.replace(manifest, version=manifest.digest())
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return manifest


def sha256(file: Path) -> str:
    """Hex digest of a file. Raises BundleError if it cannot be read."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{file} is missing or cannot be read: {error.strerror}") from error


def _names(files: set[str]) -> str:
    return ", ".join(map(repr, sorted(files)))


def _verify(file: Path, expected: str) -> None:
    if (found := sha256(file)) != expected:
        raise BundleError(f"{file} is damaged: its sha256 is {found}, its manifest says {expected}")


def _decode(file: Path, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(file.read_bytes(), type=type_)
    except OSError as error:
        raise BundleError(f"{file} is missing or cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{file} is damaged: {error}") from error
