import re
from importlib.resources import files
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.catalogue import Catalogue, Item
from ranker.errors import DataError
from ranker.requests import CATEGORIES, Category, Grammar, Spec, Split
from ranker.requests.frames import FRAMES
from ranker.requests.phrasings import bare, held_out, pairs, phrasings
from ranker.requests.spec import Acclaim, Era, OwnTaste, Popularity, Topic
from ranker.requests.words import topic_words
from tests.unit.small_data import small_dataset

GRAMMAR = Grammar(small_dataset().catalogue)
SPLITS: tuple[Split, ...] = ("train", "dev", "usual", "heldout")
FILES = {file.name.removesuffix(".txt") for file in files("ranker.requests.phrasings").joinpath("train").iterdir()}


@given(st.sampled_from(CATEGORIES), st.sampled_from(SPLITS), st.integers())
def test_every_draw_is_a_finished_sentence_of_its_category(category: Category, split: Split, seed: int) -> None:
    request = GRAMMAR.draw(category, split, Random(seed))
    assert request.category == category
    assert request.text.strip()
    assert "{" not in request.text
    assert request.spec.wanted or request.spec.refused
    assert request == GRAMMAR.draw(category, split, Random(seed))


@given(st.integers())
def test_categories_mean_what_they_say(seed: int) -> None:
    def draw(category: Category) -> tuple[tuple[object, ...], tuple[object, ...], bool]:
        spec = GRAMMAR.draw(category, "train", Random(seed)).spec
        return tuple(map(type, spec.wanted)), tuple(map(type, spec.refused)), spec.any_of

    assert draw("topic")[:2] == ((Topic,), ())
    assert draw("blend") == ((Topic, Topic), (), False)
    assert draw("either") == ((Topic, Topic), (), True)
    assert draw("topic_without") == ((Topic,), (Topic,), False)
    assert draw("era") == ((Era,), (), False)
    assert draw("topic_era") == ((Topic, Era), (), False)
    assert draw("popularity")[0] == (Popularity,)
    assert draw("acclaim")[0] == (Acclaim,)
    assert not draw("exclusion")[0]
    assert draw("taste")[0] + draw("taste")[1] == (OwnTaste,)


@given(st.sampled_from(["topic", "era", "popularity", "acclaim", "taste"]), st.integers())
def test_mirrored_requests_refuse_what_the_other_wants(category: Category, seed: int) -> None:
    random = Random(seed)
    wish, refusal = GRAMMAR.mirrored(GRAMMAR.fact(category, random), "train", random)
    assert wish.spec.wanted == refusal.spec.refused
    assert wish.text != refusal.text
    assert not wish.spec.refused
    assert not refusal.spec.wanted


@settings(deadline=None)  # a grammar is made for each example
@given(st.sampled_from([name for name in CATEGORIES if name != "taste"]), st.integers(0, 10_000))
def test_what_was_meant_can_be_said_otherwise(category: Category, seed: int) -> None:
    grammar, random = Grammar(small_dataset().catalogue), Random(seed)
    drawn = grammar.draw(category, "heldout", random)
    said = {grammar.phrased(drawn.spec, "heldout", random) for _ in range(8)}
    assert len(said) > 1
    assert not any("{" in text for text in said)
    topics = [fact for fact in (*drawn.spec.wanted, *drawn.spec.refused) if isinstance(fact, Topic)]
    names = [name for topic in topics for name in topic_words(topic)]
    words = [name.replace("{n}", "").strip() for name in names]
    assert not words or all(any(word in text for word in words) for text in said)


def test_what_no_request_means_cannot_be_phrased() -> None:
    grammar = Grammar(small_dataset().catalogue)
    with pytest.raises(ValueError, match="no request has the form"):
        grammar.phrased(Spec((Popularity("mainstream"), Acclaim("high"))), "train", Random(0))


def test_no_phrasing_is_twice_in_a_split_or_in_two() -> None:
    for name in FILES - {"nouns"}:
        sides = [side.casefold() for split in SPLITS for line in phrasings(name, split) for side in line.split("\t")]
        assert len(sides) == len(set(sides)), name


def test_training_says_nothing_that_is_held_out_with_or_without_capitals_and_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def bared(name: str, split: Split) -> set[str]:
        return {bare(side) for line in phrasings(name, split) for side in line.split("\t")}

    for name in FILES - {"nouns"}:
        for split in ("dev", "usual", "heldout"):
            assert not bared(name, split) & bared(name, "train"), (name, split)
    built = {bare(frame.sentence.replace("{w}", word)) for frame in FRAMES for word in (*frame.yes, *frame.no)}
    assert built & held_out("pairs")
    grammar, random = Grammar(small_dataset().catalogue), Random(1)
    monkeypatch.setattr(grammar, "name", lambda *_: "{x}")
    topic = grammar.topics[0]
    drawn = {bare(each.text) for _ in range(20_000) for each in grammar.mirrored(topic, "train", random)}
    assert not drawn & held_out("pairs")
    both = {bare(grammar._but_not(topic, topic, "train", random).replace("{x}", "{a}")) for _ in range(20_000)}
    assert not both & {bare(line.replace("{b}", "{a}")) for line in held_out("but_not")}
    monkeypatch.undo()
    drawn = {bare(each.text) for _ in range(20_000) for each in grammar.mirrored(OwnTaste(), "train", random)}
    assert not drawn & held_out("taste_sentences")


@pytest.mark.parametrize(
    ("names", "placeholders"),
    [
        (("pairs",), ("x",)),
        (("but_not", "both", "either"), ("a", "b")),
        (("decade",), ("d",)),
        (("before", "since"), ("y",)),
        (("taste_sentences", "nouns"), ()),
    ],
)
def test_every_side_of_every_line_has_its_placeholders_once(
    names: tuple[str, ...], placeholders: tuple[str, ...]
) -> None:
    for name in names:
        for split in SPLITS:
            for line in phrasings(name, split):
                for side in line.split("\t"):
                    assert sorted(re.findall(r"{(.*?)}", side)) == sorted(placeholders), line


@pytest.mark.parametrize("name", ["pairs", "taste_sentences"])
def test_every_shape_has_two_different_sides(name: str) -> None:
    for split in SPLITS:
        for wish, refusal in pairs(name, split):
            assert wish != refusal


def test_a_genre_of_another_platform_goes_by_its_own_name() -> None:
    assert topic_words(Topic(("Gardening",))) == ("gardening", "gardening {n}")


def test_a_catalogue_without_years_is_asked_about_topics() -> None:
    items = tuple(Item(str(n), "T", None, ("Gardening", "Chess")[n % 2 : n % 2 + 1]) for n in range(20))
    grammar = Grammar(Catalogue(items))
    assert grammar.draw("era", "train", Random(1)).category == "topic"
    assert grammar.draw("blend", "train", Random(1)).category == "either"


def test_a_catalogue_without_genres_is_refused() -> None:
    with pytest.raises(DataError, match="two"):
        Grammar(Catalogue((Item("1", "A"),)))


@pytest.mark.parametrize(("split", "usual", "share"), [("train", 1.3, 0.17), ("train", 3.0, 0.46), ("dev", 3.0, 0.1)])
def test_the_usual_phrasings_are_preferred_in_training(
    monkeypatch: pytest.MonkeyPatch, split: Split, usual: float, share: float
) -> None:
    grammar, random = Grammar(small_dataset().catalogue, usual=usual), Random(2)
    monkeypatch.setattr(grammar, "name", lambda *_: "{x}")
    monkeypatch.setattr("ranker.requests.grammar.FRAMED", 0.0)
    shapes = pairs("pairs", split)
    first = {shape.wish for shape in shapes[: len(shapes) // 10]}
    drawn = [grammar.mirrored(grammar.topics[0], split, random)[0].text for _ in range(3000)]
    assert sum(text in first for text in drawn) / len(drawn) == pytest.approx(share, abs=0.04)
