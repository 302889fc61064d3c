"""The experiment on unlike catalogues: its data set, its figures, and the command on a small bundle of random towers."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from ranker.errors import DataError
from ranker.experiments import unlike
from ranker.experiments.cli import app
from ranker.experiments.elsewhere import Topic, items, topics
from ranker.experiments.unlike import BOTH, REFUSED, SIDES, WANTED, Unlike
from ranker.requests.phrasings import pairs
from ranker.requests.vocabulary import things
from ranker.vectors import Floats
from tests.smallbundle import SmallBundle
from tests.unit import tiny_towers
from tests.unit.tiny_backbone import backbone

DOMAINS = ["recipes", "podcasts", "courses", "products", "news"]
TINY = ("--requests", "2", "--no-zero-shot", "--teacher", "none")


def outcome(out: Path, *options: str, bundle: Path | None = None) -> Unlike:
    arguments = ["unlike", "--bundle", str(bundle or tiny_towers.bundle_folder()), "--out", str(out), *options]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    page = (out / "unlike.md").read_text()
    assert "](unlike.png)" in page
    assert (out / "unlike.png").read_bytes().startswith(b"\x89PNG")
    assert not re.search(r"\{|\bnan\b|–", page)
    return msgspec.json.decode((out / "unlike.json").read_bytes(), type=Unlike)


def test_every_topic_has_items_and_every_item_topics_of_its_domain() -> None:
    known = [(topic.domain, topic.topic) for topic in topics()]
    assert len(set(known)) == len(known) == 40
    assert list(dict.fromkeys(item.domain for item in items())) == DOMAINS
    labels = [(item.domain, topic) for item in items() for topic in item.topics]
    assert set(labels) == set(known)
    assert min(labels.count(topic) for topic in known) >= 10
    for item in items():
        assert 1 <= len(item.topics) == len(set(item.topics))
    for domain in DOMAINS:
        assert [item.domain for item in items()].count(domain) == 80


def test_texts_and_names_are_distinct_and_written_as_text() -> None:
    names = [name for topic in topics() for name in topic.names]
    assert {len(topic.names) for topic in topics()} == {3}
    for texts in ([item.text for item in items()], names):
        assert len({text.casefold() for text in texts}) == len(texts)
        assert all(text and text == " ".join(text.split()) and "{" not in text for text in texts)


def test_no_training_is_about_a_topic_that_is_measured() -> None:
    measured = {name.casefold() for topic in topics() for name in (topic.topic, *topic.names)}
    assert not measured & set(things())
    assert len(set(things())) == len(things())
    assert all(re.fullmatch(r"[a-z' -]+", thing) and 2 <= len(thing.split()) <= 4 for thing in things())


def test_texts_hardly_ever_say_a_topics_name() -> None:
    of = [(topic, item) for topic in topics() for item in items() if topic.domain == item.domain]
    of = [(topic, item) for topic, item in of if topic.topic in item.topics]
    said = [any(re.search(rf"\b{re.escape(name)}\b", item.text, re.I) for name in topic.names) for topic, item in of]
    assert sum(said) / len(said) < 0.02


def test_a_wish_and_its_refusal_differ_in_what_makes_it_a_refusal() -> None:
    asked = unlike.questions(4, 3, "usual")
    assert len(asked) == 40 * 4 * 2
    shapes = pairs("pairs", "usual")
    for wish, no in zip(asked[::2], asked[1::2], strict=True):
        assert (wish.topic, wish.refused, no.refused) == (no.topic, False, True)
        said = [
            (shape.wish.format(x=name), shape.refusal.format(x=name)) for shape in shapes for name in wish.topic.names
        ]
        assert (wish.text, no.text) in said
    assert len({question.text for question in asked}) == len(asked)
    assert unlike.questions(4, 3, "usual") == asked != unlike.questions(4, 4, "usual")


class Knowing:
    """A tower that looks a text's vector up."""

    def __init__(self, vectors: dict[str, Floats]) -> None:
        self.embed: Callable[[str], Floats] = vectors.__getitem__


def knowing(asked: list[unlike.Question], sign: float) -> SmallBundle:
    """Towers with an axis for each topic: an item lies along its topics, a request along its own, a refusal times `sign`."""

    def along(listed: list[Topic], length: float = 1) -> Floats:
        return np.array([length * (topic in listed) for topic in topics()], np.float32)

    bundle = SmallBundle()
    of_items = {
        item.text: along([each for each in topics() if each.domain == item.domain and each.topic in item.topics])
        for item in items()
    }
    of_requests = {each.text: along([each.topic], sign if each.refused else 1) for each in asked}
    bundle.item_tower, bundle.request_tower = Knowing(of_items), Knowing(of_requests)  # type: ignore[assignment]
    return bundle


@pytest.mark.parametrize(("sign", "refused", "both"), [(-1, 1.0, 1.0), (1, 0.0, 0.5)])
def test_towers_that_know_all_have_all_and_those_deaf_to_no_have_half(sign: float, refused: float, both: float) -> None:
    asked = unlike.questions(2, 7, "usual")
    scores = unlike.served(knowing(asked, sign), [each.text for each in asked], [item.text for item in items()])
    found = unlike.figures(asked, scores)
    assert list(found) == list(SIDES)
    for side, figure in ((WANTED, 1.0), (REFUSED, refused), (BOTH, both)):
        assert found[side].shape == (40,)
        assert set(found[side].tolist()) == {figure}


def test_other_domains_are_not_in_the_figures() -> None:
    asked = unlike.questions(1, 7, "usual")
    scores = np.random.default_rng(0).normal(size=(len(asked), len(items()))).astype(np.float32)
    found = unlike.figures(asked, scores)
    assert not np.isclose(found[WANTED], 1 - found[REFUSED]).any()  # each request has scores of its own
    recipes = [item.domain == "recipes" for item in items()]
    scores[:, recipes] += 9
    for side in SIDES:
        np.testing.assert_array_equal(unlike.figures(asked, scores)[side], found[side])


def test_the_command_measures_and_says_what_is_missing(tmp_path: Path) -> None:
    found = outcome(tmp_path, *TINY)
    assert (found.items, found.topics, found.requests, found.seed, found.training_seed) == (400, 40, 2, 7, 0)
    assert found.notes == ["no stronger encoder lies in none; `ctrlrec synthesize --judge embedding` fetches one"]
    assert "Left out: no stronger encoder lies in none" in (tmp_path / "unlike.md").read_text()
    (towers,) = found.systems.values()
    assert list(towers.domains) == DOMAINS
    for side in SIDES:
        by_domain = {name: figures[side].value for name, figures in towers.domains.items()}
        assert towers.mean[side].value == pytest.approx(sum(by_domain.values()) / 5)
        assert (
            towers.worst[side].value == pytest.approx(by_domain[towers.worst_domain[side]]) == min(by_domain.values())
        )
        for each in (towers.mean[side], towers.worst[side], *(figures[side] for figures in towers.domains.values())):
            assert 0 <= each.low <= each.high <= 1
        # Untrained towers know nothing of all this.
        assert abs(towers.mean[side].value - 0.5) < 0.2
        assert abs(found.unusual["towers"][side].value - 0.5) < 0.2
        assert found.unusual["towers"][side] != towers.mean[side]
        assert str(found.unusual["towers"][side]) in (tmp_path / "unlike.md").read_text()


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", "7"), ("two", "7"), ("other", "8")):
        outcome(tmp_path / name, *TINY, "--seed", seed)
    one, two, other = ((tmp_path / name / "unlike.json").read_bytes() for name in ("one", "two", "other"))
    assert one == two != other
    assert (tmp_path / "one" / "unlike.md").read_bytes() == (tmp_path / "two" / "unlike.md").read_bytes()


def test_encoders_stand_beside_the_towers(tmp_path: Path) -> None:
    there = ("--backbone", str(backbone()), "--teacher", str(backbone()))
    found = outcome(tmp_path, "--requests", "1", *there)
    assert list(found.systems) == ["towers", "zero-shot", "stronger"]
    assert found.systems["zero-shot"] == found.systems["stronger"] != found.systems["towers"]
    assert found.notes == []
    with pytest.raises(DataError, match="no backbone there"):
        outcome(tmp_path, "--backbone", str(tmp_path), "--teacher", "none")
