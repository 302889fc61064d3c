"""The experiments on a whole small bundle: random towers, real files, the command itself."""

from functools import cache
from pathlib import Path
from random import Random
from shutil import copytree

import msgspec
import pytest
from typer.testing import CliRunner

from ranker.data import load_dataset
from ranker.errors import DataError
from ranker.experiments.cli import app
from ranker.experiments.distillation import Distillation
from ranker.experiments.reachability import Reachability
from ranker.experiments.sensitivity import Sensitivity
from ranker.experiments.subject import Subject
from ranker.vectors import ItemVectors, quantize
from tests.once import folder
from tests.unit import tiny_towers

GENRES = ("Drama", "Comedy", "Horror", "War", "Western")
HELD_OUT = ["u3", "u5", "u8", "u11"]


@cache
def data() -> Path:
    """120 items, 14 users; each user likes one genre above the others, and rates it higher."""
    path, random = folder() / "experiments-data", Random(4)
    path.mkdir()
    kinds = [random.sample(GENRES, 1 + number % 2) for number in range(120)]
    items = [f"i{n},Title {n},{1960 + n // 3},{'|'.join(kind)}" for n, kind in enumerate(kinds)]
    rated = [
        f"u{user},i{n},{5 if GENRES[user % 5] in kinds[n] else 2},{time}"
        for user in range(14)
        for time, n in enumerate(
            random.sample(sorted(range(120), key=lambda n: GENRES[user % 5] not in kinds[n])[:90], 60)
        )
    ]
    (path / "items.csv").write_text("\n".join(["item_id,title,year,genres", *items]) + "\n")
    (path / "interactions.csv").write_text("\n".join(["user_id,item_id,rating,timestamp", *rated]) + "\n")
    return path


@cache
def bundle() -> Path:
    """Its record says that four users, a fifth of the items and the eras were kept from training."""
    path = Path(copytree(tiny_towers.bundle_folder(), folder() / "experiments-bundle"))
    catalogue, tower = load_dataset(data()).catalogue, tiny_towers.tower("item")
    vectors = [quantize(tower.embed(text)) for text in catalogue.texts()]
    ItemVectors.save(path, [item.item_id for item in catalogue.items], vectors)
    kept = {"users_held_out": HELD_OUT, "items_held_out": [f"i{n}" for n in range(0, 120, 5)], "without": ["era"]}
    tiny_towers.reseal(path, training={"seed": 0, **kept})
    return path


def outcome(out: Path, name: str, *options: str) -> bytes:
    """What the command wrote as JSON; the page and its plots are there, too."""
    arguments = [name, "--bundle", str(bundle()), "--data", str(data()), "--out", str(out), *options]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    page = (out / f"{name}.md").read_text()
    plots = sorted(path.name for path in out.glob("*.png"))
    assert plots
    assert all(f"]({plot})" in page and (out / plot).read_bytes().startswith(b"\x89PNG") for plot in plots)
    assert "{" not in page
    assert "nan" not in page
    return (out / f"{name}.json").read_bytes()


def test_distillation_measures_what_was_kept_from_training(tmp_path: Path) -> None:
    options = ("--requests", "4", "--no-zero-shot", "--token-price", "2", "--core-price", "0.1")
    found = msgspec.json.decode(outcome(tmp_path, "distillation", *options), type=Distillation)
    assert found.users == len(HELD_OUT)
    assert set(found.systems) == {"towers", "BM25"}
    slices = {each.name: each for each in found.slices}
    assert all(each.seen and each.unseen for each in slices.values())
    assert "24 items" in slices["items"].note
    assert slices["categories"].note == "never trained on: era"
    assert slices["categories"].unseen == found.systems["towers"].categories["era"]["auc"]
    for system in found.systems.values():
        auc = system.mean["auc"]
        assert auc.low <= auc.value <= auc.high
        assert system.worst.value == min(row["auc"].value for row in system.categories.values())
    # Untrained towers do not know what was asked: half an AUC, and nothing to gain by training phrasings.
    assert abs(found.systems["towers"].mean["auc"].value - 0.5) < 0.2
    llm = next(cost for cost in found.costs if cost.name == "LLM judge")
    assert llm.tokens is not None
    assert llm.dollars == pytest.approx(llm.tokens * 2e-6)
    again = msgspec.json.decode(outcome(tmp_path, "distillation", *options), type=Distillation)
    assert again.systems == found.systems
    assert "(never trained on)" in (tmp_path / "distillation.md").read_text()


def test_reachability_tries_both_sides_as_often(tmp_path: Path) -> None:
    options = ("--users", "3", "--targets", "2", "--tries", "3")
    found = msgspec.json.decode(outcome(tmp_path, "reachability", *options), type=Reachability)
    assert found.users == 3
    assert set(found.kinds) == {"taste", "genre and era"}
    for kind in found.kinds.values():
        assert kind.journeys == 6
        assert all(len(shares) == 3 for shares in kind.share.values())
    eras = found.kinds["genre and era"]
    assert eras.attainable.value == 0
    # Where all of the target is known, one more try can only help, and all filters at once are at least as good.
    for shares in eras.share.values():
        values = [share.value for share in shares]
        assert values == sorted(values)
    assert eras.share["best of all filters"][-1].value >= eras.share["filters"][-1].value
    assert eras.share["filters"][-1].value > 0.2


def test_reachability_takes_requests_that_somebody_wrote(tmp_path: Path) -> None:
    requests = tmp_path / "requests.jsonl"
    requests.write_text(
        '{"target": "War, 1970s", "text": "more drama"}\n{"target": "War, 1970s", "text": "no horror"}\n'
    )
    written = outcome(tmp_path / "out", "reachability", "--users", "2", "--tries", "2", "--requests", str(requests))
    found = msgspec.json.decode(written, type=Reachability)
    assert set(found.kinds) == {"genre and era"}
    assert found.examples[0] == "War, 1970s: “more drama”; “no horror”"
    assert "words, understood perfectly" not in found.kinds["genre and era"].share
    requests.write_text('{"target": "nobody", "text": "x"}\n')
    with pytest.raises(DataError, match="no target"):
        outcome(tmp_path / "out", "reachability", "--requests", str(requests))


def test_sensitivity_goes_from_the_platforms_order_to_the_requests(tmp_path: Path) -> None:
    options = ("--users", "4", "--requests", "2", "--candidates", "40", "--steps", "4")
    found = msgspec.json.decode(outcome(tmp_path, "sensitivity", *options), type=Sensitivity)
    assert found.weights == [0, 0.25, 0.5, 0.75, 1]
    assert (found.users, found.requests, found.default) == (4, 8, "rank")
    first, *others = found.curves.values()
    for other in others:  # all ways of fusing agree at both ends
        for ours, theirs in ((first.ndcg, other.ndcg), (first.adherence, other.adherence)):
            assert (ours[0], ours[-1]) == (theirs[0], theirs[-1])
    assert found.curves["rank"].below_plain.value == 0
    for curve in found.curves.values():
        means = [each.value for each in curve.adherence]
        assert curve.monotone == (means == sorted(means))
        assert curve.recommended in curve.front


def test_a_bundle_of_another_catalogue_is_refused() -> None:
    with pytest.raises(DataError, match=r"no vectors for \d+ of 120 items.*ctrlrec export"):
        Subject.load(tiny_towers.bundle_folder(), data())


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    copied = Path(copytree(bundle(), tmp_path / "copied"))
    tiny_towers.reseal(copied, training={"users_held_out": 3})
    with pytest.raises(DataError, match="training record"):
        Subject.load(copied, data())
