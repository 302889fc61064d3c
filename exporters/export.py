"""From trained towers to a bundle: convert, quantize, embed the catalogue, measure, seal, and put in place."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from exporters.canaries import draw_canaries, with_baseline
from exporters.catalogue import embed_catalogue
from exporters.familiarity import EACH, TOLD, references
from exporters.onnx import load_encoder, to_onnx
from exporters.parity import check_alone, compare, sample
from exporters.probes import draw_requests, probe_requests
from exporters.quantize import quantize_tower
from ranker import bundle as layout
from ranker.bundle import Bundle, BundleCalibration, Calibration, Manifest, write_manifest
from ranker.data import Dataset, load_dataset
from ranker.errors import ConfigError, DataError
from ranker.rank import Model
from ranker.towers import Tower
from ranker.vectors import Floats, ItemVectors

Step = Callable[[str, int], Callable[[int], object]]
"""Told the name of a step and how many parts it has, gives what is to be told how many of them are done."""


class Training(Struct, frozen=True):
    """What an export needs of the `training.json` that `ctrlrec train` leaves beside the towers."""

    backbone: str
    dimension: int
    max_length: int
    calibration: Calibration


class Trained(NamedTuple):
    """The vectors of the towers as they were trained."""

    requests: Floats
    items: Floats


def _silent(_name: str, _parts: int) -> Callable[[int], object]:
    return lambda done: None


def export(towers: Path, data: Path, out: Path, *, name: str = "ctrlrec", step: Step = _silent) -> Manifest:
    """Make the bundle `out` of the towers in `towers` and the catalogue in `data`, replacing a bundle that is there.

    Nothing is left behind and nothing is replaced unless all of it succeeds. Raises DataError for what cannot be read,
    ConfigError where `out` is something else than a bundle, ParityError where the result differs too much.
    """
    refuse_to_replace(out)
    training, figures = read_training(towers)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        _fill(folder, towers, data, name, training, figures, step)
        manifest = Bundle.load(folder).manifest
        folder.chmod(0o755)
        put_in_place(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return manifest


def _fill(
    folder: Path, towers: Path, data: Path, name: str, training: Training, figures: dict[str, object], step: Step
) -> None:
    dataset = load_dataset(data)
    requests, texts = probe_requests(dataset), dataset.catalogue.texts()
    workers = os.cpu_count() or 1

    done = step("trained towers to ONNX", 4)
    rows = sample(len(texts))
    trained = _convert(folder, towers, training, requests, [texts[row] for row in rows], done)
    float_tower = folder / "float.onnx"
    (folder / layout.REQUEST_TOWER).rename(float_tower)
    quantize_tower(float_tower, folder / layout.REQUEST_TOWER)
    float_tower.unlink()
    done(4)

    tokenizer = folder / layout.TOKENIZER
    item_tower = Tower(folder / layout.ITEM_TOWER, tokenizer, max_length=training.max_length)
    done = step("item vectors", len(texts))
    items = embed_catalogue(item_tower, dataset.catalogue, folder, workers=workers, progress=done)

    request_tower = Tower(folder / layout.REQUEST_TOWER, tokenizer, max_length=training.max_length)
    done = step("parity", len(requests))
    served = request_tower.embed_all(requests, done, workers=workers)
    check_alone(request_tower, requests, served)
    parity = compare(trained, (served, items[rows]), ItemVectors.load(folder), rows)
    parity.check()
    calibration = _calibration(folder, training, dataset, request_tower, items, step, workers)
    (folder / layout.CALIBRATION).write_bytes(msgspec.json.encode(calibration))

    write_manifest(
        folder,
        name=name,
        backbone=training.backbone,
        dimension=training.dimension,
        max_length=training.max_length,
        quantization={"request": "int8", "item": "fp32"},
        training={name: figure for name, figure in figures.items() if name != "curve"},
        parity=parity.figures(),
    )


def _calibration(
    folder: Path, training: Training, dataset: Dataset, tower: Tower, items: Floats, step: Step, workers: int
) -> BundleCalibration:
    """What a cosine means, and what serving is to be compared with."""
    asked, plain = draw_requests(dataset, "dev", EACH, TOLD), training.calibration
    done = step("calibration", len(asked))
    known = references(tower, asked, items, workers=workers, progress=done)
    model = Model("", ItemVectors.load(folder), plain.slope, plain.intercept, 1.0)
    canaries = with_baseline(draw_canaries(dataset), tower, model)
    return BundleCalibration(plain.slope, plain.intercept, known, canaries)


def _convert(
    folder: Path, towers: Path, training: Training, requests: list[str], items: list[str], done: Callable[[int], object]
) -> Trained:
    """Write both graphs and the tokenizer; the vectors of the texts as the towers gave them when trained."""
    from ranker.training.head import Head
    from ranker.training.towers import Tower as TrainedTower
    from ranker.training.towers import load_tokenizer

    tokenizer = load_tokenizer(towers / "tokenizer.json")
    tokenizer.enable_truncation(training.max_length)
    tokenizer.save(str(folder / layout.TOKENIZER))
    vectors = []
    for number, (tower, file, texts) in enumerate(
        (("request", layout.REQUEST_TOWER, requests), ("item", layout.ITEM_TOWER, items))
    ):
        encoder = load_encoder(towers / tower)
        head = Head.load(towers / tower)
        trained = TrainedTower(encoder, tokenizer, head).eval()
        if trained.dimension != training.dimension:
            raise DataError(f"{towers / tower} has {trained.dimension} dimensions, training.json {training.dimension}")
        vectors.append(trained.embed(texts))
        to_onnx(encoder, head, folder / file)
        done(number + 1)
    return Trained(*vectors)


def read_training(towers: Path) -> tuple[Training, dict[str, object]]:
    """`training.json` of a folder of towers: what an export needs of it, and all of it. Raises DataError."""
    file = towers / "training.json"
    try:
        raw = file.read_bytes()
        return msgspec.json.decode(raw, type=Training), msgspec.json.decode(raw, type=dict[str, object])
    except OSError as error:
        raise DataError(f"{file} is missing: train towers first (ctrlrec train), or name their folder") from error
    except msgspec.DecodeError as error:
        raise DataError(f"{file} is not as ctrlrec train writes it: {error}") from error


def refuse_to_replace(out: Path) -> None:
    """Raise ConfigError if `out` holds anything but a bundle: it would be lost."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ConfigError(f"{out} is not a folder; name another place for the bundle")
    if out.is_dir() and any(out.iterdir()) and not (out / layout.MANIFEST).is_file():
        raise ConfigError(f"{out} holds something that is no bundle; name another place, or empty it")


def put_in_place(folder: Path, out: Path) -> None:
    """Move a finished bundle to `out`. A reader sees the old one, for an instant none, or the new one."""
    if not out.exists():
        folder.rename(out)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.parent))
    out.rename(old / out.name)
    try:
        folder.rename(out)
    except OSError:
        (old / out.name).rename(out)
        raise
    finally:
        shutil.rmtree(old)
