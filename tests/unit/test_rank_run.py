"""A run of lists is ranked in one pass over flat arrays: nothing may show of what a list was ranked beside."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.errors import BadEvent
from ranker.events import CandidateList, Ranking
from ranker.fusion import FUSIONS
from ranker.ragged import Spans
from ranker.rank import Model, rank_run
from ranker.run import Asked, Steering
from ranker.vectors import ItemVectors, quantize
from tests.smallbundle import HashTower, SmallBundle

KNOWN, LATE, UNKNOWN = [f"i{n}" for n in range(40)], ["late", "i3"], [f"x{n}" for n in range(5)]
ITEMS = [*KNOWN, "late", *UNKNOWN]


def model(method: str = "rank") -> Model:
    bundle = SmallBundle(len(KNOWN))
    for item_id in LATE:
        bundle.items.put(item_id, quantize(HashTower().embed(item_id + " anew")))
    return bundle.model(0.5, method)  # type: ignore[arg-type]


def steering(number: int) -> Steering:
    vector = quantize(HashTower().embed(f"request {number}"))
    bundle = "another" if number == 0 else "small"
    return Steering(f"r{number}", bundle, vector.floats(), vector.scale, (None, 0.3, 1.0)[number % 3], None)


STEERINGS = [steering(number) for number in range(6)] + [steering(7)._replace(expires_at=150.0)]
SCORES = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-1, 1).map(float)
    | st.integers(0, 3).map(lambda n: 1 + n * 2.0**-52)  # differ in the last digits only
    | st.sampled_from([0.0, -0.0, 5e-324, 1e308, -1e308])
)


@st.composite
def asked(draw: st.DrawFn) -> Asked:
    ids = draw(st.lists(st.sampled_from(ITEMS), min_size=1, max_size=25, unique=draw(st.integers(0, 9)) > 0))
    scores = draw(st.lists(SCORES, min_size=len(ids), max_size=len(ids)))
    if draw(st.integers(0, 19)) == 0:
        scores[draw(st.integers(0, len(scores) - 1))] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    candidates = CandidateList(
        event_id="e",
        user_id="u",
        item_ids=ids,
        base_scores=scores[: draw(st.sampled_from([len(ids)] * 19 + [len(ids) - 1]))],
        created_at=draw(st.sampled_from([100.0, 200.0])),
        weight=draw(st.none() | st.sampled_from([0.0, 1.0]) | st.floats(0, 1)),
        top_k=draw(st.none() | st.integers(1, 30)),
        explain=draw(st.booleans()),
    )
    return Asked(candidates, draw(st.none() | st.sampled_from(STEERINGS)))


def read(answer: Ranking | BadEvent) -> bytes | tuple[str, str]:
    return (answer.reason, str(answer)) if isinstance(answer, BadEvent) else msgspec.json.encode(answer)


@pytest.mark.parametrize("method", FUSIONS)
@given(st.lists(asked(), min_size=1, max_size=12))
def test_one_by_one_and_all_together_give_the_same_bytes(method: str, run: list[Asked]) -> None:
    singly, at_once = model(method), model(method)
    expected = [read(rank_run([one], singly)[0]) for one in run]
    for _ in range(5):  # scores come to be kept, and it shows in nothing
        assert [read(answer) for answer in rank_run(run, at_once)] == expected


@given(st.lists(asked(), min_size=1, max_size=4))
def test_it_is_the_plain_ranking(run: list[Asked]) -> None:
    """Against sorting with Python, for what has a closed form: the fusion by rank."""
    by = model()
    for one, answer in zip(run, rank_run(run, by), strict=True):
        if isinstance(answer, Ranking):
            assert answer.item_ids == plainly(one, by)[: one.candidates.top_k]


def plainly(asked: Asked, by: Model) -> list[str]:
    ids, scores, steering = asked.candidates.item_ids, asked.candidates.base_scores, asked.steering
    base = sorted(range(len(ids)), key=lambda i: -scores[i])
    in_base_order = [ids[i] for i in base]
    if steering is None or steering.bundle != by.bundle or (steering.expires_at and asked.candidates.created_at >= 150):
        return in_base_order
    known = [place for place, row in enumerate(by.items.rows(in_base_order).tolist()) if row >= 0]
    value = {
        place: float(by.items.scores(by.items.rows([in_base_order[place]]), steering.values)[0]) for place in known
    }
    ranks = list(range(len(ids)))
    for rank, place in zip(known, sorted(known, key=lambda place: -value[place]), strict=True):
        ranks[place] = rank
    weights = (asked.candidates.weight, steering.weight, by.weight)
    step = round(next(weight for weight in weights if weight is not None) * 1_000_000)
    order = sorted(range(len(ids)), key=lambda place: ((1_000_000 - step) * place + step * ranks[place], place))
    return [in_base_order[place] for place in order]


def test_a_run_of_none() -> None:
    assert rank_run([], model()) == []


def test_a_bad_list_is_refused_by_its_place() -> None:
    def one(**fields: Any) -> Asked:
        event = CandidateList(event_id="e", user_id="u", item_ids=["i0", "i1"], base_scores=[1.0, 2.0], created_at=1.0)
        return Asked(msgspec.structs.replace(event, **fields), STEERINGS[1])

    run = [one(), one(base_scores=[1.0]), one(item_ids=["i0", "i0"]), one(), one(base_scores=[np.nan, 1.0])]
    assert [isinstance(answer, BadEvent) for answer in rank_run(run, model())] == [False, True, True, False, True]


@given(st.lists(st.lists(SCORES | st.just(np.inf), min_size=1, max_size=40), min_size=1, max_size=6))
def test_descending_is_stable_in_either_precision(lists: list[list[float]]) -> None:
    spans = Spans([len(each) for each in lists])
    flat = np.array([score for each in lists for score in each])
    with np.errstate(over="ignore"):
        for scores in (flat, flat.astype(np.float32)):
            expected = [sorted(range(s.start, s.stop), key=lambda i: -scores[i]) for s in spans.slices]
            assert spans.descending(scores).tolist() == [position for each in expected for position in each]


def test_long_lists_among_short_ones() -> None:
    """Keys are made of weights, ranks and positions: 160,000 entries fit."""
    rng = np.random.default_rng(0)
    ids = [str(row) for row in range(10_000)]
    values = rng.integers(-127, 128, (10_000, 16), np.int8).astype(np.float32)
    by = SmallBundle().model()._replace(items=ItemVectors(ids, values, np.full(10_000, 0.01, np.float32)))
    run = [
        Asked(
            CandidateList(
                event_id="e",
                user_id="u",
                item_ids=ids[:size],
                base_scores=rng.random(size).tolist(),
                created_at=1.0,
                weight=0.999_999,
            ),
            STEERINGS[1],
        )
        for size in [10_000] * 16 + [3]
    ]
    expected = [read(rank_run([one], by)[0]) for one in run]
    assert [read(answer) for answer in rank_run(run, by)] == expected
