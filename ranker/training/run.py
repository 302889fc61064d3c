"""`ctrlrec train` from directory to directory: read, train, measure, write."""

import hashlib
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec
import numpy as np

from ranker.bundle import Calibration
from ranker.data import Dataset, load_dataset
from ranker.data.backbone import backbone_name
from ranker.errors import DataError
from ranker.evaluate import Case, Report, cases, evaluate, split_users
from ranker.judges.embedding import Embed
from ranker.judges.rule import RuleJudge
from ranker.requests import Category, Grammar, Split
from ranker.requests.phrasings import digest
from ranker.synthesis.read import Told, read_triples
from ranker.taste import user_taste
from ranker.training.budget import Budget
from ranker.training.calibration import calibrate
from ranker.training.checkpoint import FOLDER, Checkpoint
from ranker.training.curve import PICTURE, Point
from ranker.training.descent import Watch
from ranker.training.head import FILE
from ranker.training.losses import Loss
from ranker.training.stopping import PATIENCE, is_long
from ranker.training.towers import MAX_LENGTH, Tower, load_tokenizer
from ranker.training.train import train

HELD_OUT: tuple[Split, Split] = ("usual", "heldout")
EVALUATION_SEED = 7
"""Not the training's: the same requests are measured whatever a run was seeded with."""


class TrainingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """training.json: what the towers are, and how they came to be."""

    backbone: str
    backbone_sha256: str
    dimension: int
    max_length: int
    pooling: str
    seed: int
    steps: dict[str, int]
    requests_read: int
    seconds: dict[str, float]
    wall_seconds: float
    """Of the process that finished it."""
    catalogue_sha256: str
    items: int
    users_trained_with: int
    users_held_out: list[str]
    items_held_out: list[str] = []
    """Which training has never seen."""
    without: list[str] = []
    """The categories of requests that training has never seen."""
    calibration: Calibration
    """On dev phrasings, which neither train nor measure."""
    evaluation: Report | None
    """In usual phrasings, held out."""
    zero_shot: Report | None
    """The untouched backbone's on the same requests."""
    unusual: Report | None = None
    """In phrasings as rare as they come, held out, too."""
    loss: Loss = "correlation"
    """Of the request tower. The item tower's is the cosine to its targets."""
    judge: str = "rule"
    """`rule`, words being judged by the untouched backbone and not on the catalogue; or `embedding` and its weights' digest."""
    texts: int = 0
    """Given beside the catalogue; at most 3,000 of them are drawn, a tenth of those for looks alone."""
    triples: int = 0
    """Scores of `triples_judge` that the request tower learned from, too."""
    triples_in_all: int = 0
    """With those that lie on the held-out side of some split."""
    triples_judge: str | None = None
    triples_sha256: str | None = None
    curve: dict[str, list[Point]] = {}
    """By phase."""
    kept_step: int | None = None
    """Of the request tower, the best on dev phrasings; null where the last is kept, trainings too short to be looked at."""


METHOD = 2
"""Of training. An unfinished training of another one is not gone on with: count on where what it would mix changes."""
CALIBRATION_CASES = 40
"""Of each category."""


def run_training(
    data: Path,
    backbone: Path,
    out: Path,
    *,
    budget: Budget,
    seed: int,
    per_category: int,
    watch: Watch,
    items_held_out: float = 0.0,
    without: Collection[Category] = (),
    loss: Loss = "correlation",
    patience: int = PATIENCE,
    fresh: bool = False,
    judge: str = "rule",
    teacher: Embed | None = None,
    texts: Sequence[str] = (),
    triples: Path | None = None,
) -> TrainingRecord:
    """Trains on the data set and writes both towers, the tokenizer and training.json below `out`.

    Measures with `per_category` requests in usual phrasings, held out, by held-out users, and as many in unusual ones; 0
    leaves the measuring out. A share of
    the items and whole categories can be held out too, for `ctrlrec evaluate distillation` to measure with. The
    `teacher`, which `judge` names, judges what fits words that are no facts of the catalogue, over its items and over
    `texts`, see `train`. `triples` is a folder of what another judge said, which the request tower learns from, too. Raises
    DataError where the data set, the backbone or the triples cannot be read.

    A long training is looked at on dev phrasings, unless `patience` is 0, and can be killed: the same call goes on with the
    unfinished one below `out`, unless `fresh`; raises ConfigError where that is of other settings.
    """
    started = time.monotonic()
    dataset = load_dataset(data)
    if len(dataset.interactions.user_ids) < 2:
        raise DataError(f"{data}: training needs interactions of two users or more, one of them to be held out")
    users, held_out = split_users(dataset.interactions.user_ids, seed)
    order = np.random.default_rng(seed).permutation(len(dataset.catalogue))
    unseen, seen = np.split(order, [round(len(order) * items_held_out)])
    seen.sort()
    told = read_triples(triples, dataset.catalogue, seen, users, without) if triples else Told("", [])
    request, item = Tower.load(backbone), Tower.load(backbone)
    measured, oddly = (measured_cases(dataset, held_out, split, per_category) for split in HELD_OUT)
    untouched = request.eval().embed([case.text for case in measured])
    tastes = [user_taste(dataset, user) for user in users]
    chosen = measured_cases(dataset, users, "dev", CALIBRATION_CASES)
    looked_at = [case for case in chosen if case.category not in without] if patience and is_long(budget) else []
    settings = {
        "method": METHOD,
        "phrasings": digest("train"),
        "steps": budget.steps,
        "seconds": budget.seconds,
        "seed": seed,
        "loss": loss,
        "patience": patience,
        "items held out": items_held_out,
        "without": sorted(without),
        "backbone": _sha256(backbone / "model.safetensors"),
        "catalogue": dataset.catalogue.digest(),
        "judge": judge,
        "texts": hashlib.sha256("\n".join(texts).encode()).hexdigest(),
        "triples": told.digest or "none",
        "tastes": hashlib.sha256(repr(tastes).encode()).hexdigest(),
    }
    checkpoint = Checkpoint(out / FOLDER, settings, fresh=fresh, kept=is_long(budget))
    trained = train(
        request,
        item,
        dataset.catalogue,
        tastes,
        budget,
        seed,
        watch,
        checkpoint,
        rows=seen,
        without=without,
        loss=loss,
        dev=looked_at,
        patience=patience,
        teacher=teacher,
        texts=texts,
        questions=told.questions,
    )
    report = unusual = zero_shot = None
    if measured:
        report = evaluate(measured, "usual", request.embed, trained.item_vectors)
        unusual = evaluate(oddly, "heldout", request.embed, trained.item_vectors) if oddly else None
        zero_shot = evaluate(measured, "usual", lambda _: untouched, trained.zero_shot_vectors)
    record = TrainingRecord(
        backbone=backbone_name(backbone),
        backbone_sha256=_sha256(backbone / "model.safetensors"),
        dimension=request.dimension,
        max_length=MAX_LENGTH,
        pooling="request: head over three layers, item: mean",
        seed=seed,
        steps=trained.steps,
        requests_read=trained.requests_read,
        seconds={name: round(value, 2) for name, value in trained.seconds.items()},
        wall_seconds=round(time.monotonic() - started, 2),
        catalogue_sha256=dataset.catalogue.digest(),
        items=len(dataset.catalogue),
        users_trained_with=len(users),
        users_held_out=held_out,
        items_held_out=sorted(dataset.catalogue.items[row].item_id for row in unseen),
        without=sorted(without),
        calibration=calibrate(chosen, request.embed, trained.item_vectors),
        evaluation=report,
        unusual=unusual,
        zero_shot=zero_shot,
        loss=loss,
        judge=judge,
        texts=len(texts),
        triples=told.triples,
        triples_in_all=told.of,
        triples_judge=told.judge or None,
        triples_sha256=told.digest,
        curve=trained.curve,
        kept_step=trained.kept_step,
    )
    _write(out, request, item, backbone / "tokenizer.json", record)
    checkpoint.remove()
    return record


def measured_cases(dataset: Dataset, users: Sequence[str], split: Split, per_category: int) -> list[Case]:
    """The requests of a split that these users are measured with; the same ones whatever the training's seed."""
    tastes = [user_taste(dataset, user) for user in users]
    grammar, judge = Grammar(dataset.catalogue), RuleJudge(dataset.catalogue)
    return cases(grammar, judge, tastes, split, per_category, EVALUATION_SEED)


def read_record(towers: Path) -> TrainingRecord:
    """training.json of a run. Raises DataError where it is missing or not as this version writes it."""
    path = towers / "training.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=TrainingRecord)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; `ctrlrec train` writes it") from error
    except msgspec.MsgspecError as error:
        raise DataError(f"{path}: {error}") from error


def _write(out: Path, request: Tower, item: Tower, tokenizer: Path, record: TrainingRecord) -> None:
    """training.json last: where it is there, all of it is there."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("training.json", PICTURE):
        (out / name).unlink(missing_ok=True)
    for name, tower in (("request", request), ("item", item)):
        tower.encoder.save_pretrained(out / name)  # type: ignore[operator]
        (out / name / FILE).unlink(missing_ok=True)
        if tower.head is not None:
            tower.head.save(out / name)
    plain = load_tokenizer(tokenizer)
    plain.no_truncation()
    plain.save(str(out / "tokenizer.json"))
    (out / "training.json").write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"{path}: no such file; the backbone's weights are read from safetensors")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
