"""Trains both towers: items first, towards targets in closed form; then the request tower against the items as they now
lie, its head over the encoder as it is and then both."""

import copy
import random
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ranker.catalogue import Catalogue
from ranker.evaluate import Case
from ranker.judges.embedding import Embed, EmbeddingJudge, Remembered, TopicFits, as_it_is, calibrated, topic_text
from ranker.judges.question import CatalogueJudge
from ranker.judges.rule import RuleJudge
from ranker.requests import Category, Grammar
from ranker.requests.grammar import USUAL
from ranker.requests.vocabulary import catalogue_words
from ranker.synthesis.read import Answered
from ranker.taste import Taste
from ranker.training.batches import Batches
from ranker.training.budget import Budget
from ranker.training.checkpoint import Checkpoint
from ranker.training.courses import MOST_COLUMNS, OPEN_SHARE, WORDS, Course, Source, beyond, open_cases, open_course
from ranker.training.curve import Point
from ranker.training.descent import Descent, Watch, descend
from ranker.training.lessons import read_requests
from ranker.training.losses import Loss
from ranker.training.stopping import PATIENCE, DevAuc, DevSet, is_long
from ranker.training.targets import item_targets
from ranker.training.teaching import teach
from ranker.training.towers import Tower
from ranker.training.triples import Triples
from ranker.training.tuning import add_neutral, tune


class Shares(NamedTuple):
    """Of the budget."""

    item: float
    reading: float
    head: float
    tuning: float


SHORT, LONG = Shares(0.2, 0.08, 0.08, 0.64), Shares(0.08, 0.02, 0.03, 0.87)
TARGET_REQUESTS = 3000
ITEM_BATCH, BEYOND_BATCH = 24, 8
"""Texts of a step: items, and texts that are none."""
ITEM_RATE, ITEM_DECAY = 2e-4, 0.01
FROZEN_LAYERS = 2
"""From below. They read words, which the backbone already can; a step without them costs a third less."""
MOSTLY_USUAL = 3.0
"""How much a short training prefers the usual phrasings: it has no time for all."""
LOOKED_AT_CASES = 40
"""Requests about words in each category, to look at a long training with."""


@dataclass
class Trained:
    """What training leaves behind."""

    request: Tower
    item: Tower
    item_vectors: NDArray[np.float32]
    """(n, d) of the trained item tower, rows as in the catalogue."""
    zero_shot_vectors: NDArray[np.float32]
    """(n, d) of the untouched backbone, to compare with."""
    steps: dict[str, int]
    seconds: dict[str, float]
    requests_read: int
    curve: dict[str, list[Point]]
    kept_step: int | None
    """Of the request tower, where it was looked at on dev phrasings."""


def train(
    request: Tower,
    item: Tower,
    catalogue: Catalogue,
    tastes: Sequence[Taste],
    budget: Budget,
    seed: int,
    watch: Watch,
    checkpoint: Checkpoint,
    *,
    rows: NDArray[np.int64] | None = None,
    without: Collection[Category] = (),
    loss: Loss = "correlation",
    dev: Sequence[Case] = (),
    patience: int = PATIENCE,
    teacher: Embed | None = None,
    texts: Sequence[str] = (),
    questions: Sequence[Answered] = (),
) -> Trained:
    """Trains both towers, in place, on requests in training phrasings by users with these tastes.

    `rows` are the items of the catalogue to train with, all unless given; no request is of a category in `without`. With
    cases of `dev`, the request tower that orders the items best for them is kept, and `patience` looks without a better one
    end it. What fits words that are no facts is judged by the `teacher` or, without one, by the backbone itself; on the
    catalogue only by a teacher. `texts` are such as are no items, see `beyond`. Half of the requests that the request tower
    as a whole learns from are `questions` that some judge has answered, where there are any.
    Goes on from `checkpoint`, where it holds something.
    """
    started = time.monotonic()
    shares = LONG if is_long(budget) else SHORT
    rows = np.arange(len(catalogue)) if rows is None else rows
    other = beyond(seed, texts, is_long(budget))
    item_texts = [*catalogue.texts(), *other.texts]
    untouched = Remembered(copy.deepcopy(item).eval().embed)
    embed, fit_curve = (teacher, calibrated) if teacher else (untouched, as_it_is)
    usual = USUAL if is_long(budget) else MOSTLY_USUAL
    batches = Batches(*_judged_by(catalogue, rows, teacher, seed, usual), tastes, seed, without=without)
    course = open_course(other.texts, other.topics, embed, fit_curve, untouched, len(catalogue), seed, without, usual)
    chosen = np.random.default_rng(seed).permutation(rows)[:MOST_COLUMNS]
    courses = [Course(batches, chosen, chosen, 1 - OPEN_SHARE), *([course] if course else [])]
    if (kept := checkpoint.load("targets")) is None:
        zero_shot = untouched(item_texts)
        items, others = np.split(zero_shot, [len(catalogue)])
        targets = item_targets(batches.judged(TARGET_REQUESTS).scores[:, rows], items[rows])
        kept = {
            "zero-shot": torch.from_numpy(items),
            "targets": torch.from_numpy(np.concatenate([targets.vectors, others])),
            "facts": torch.from_numpy(targets.rotation),
        }
        checkpoint.save("targets", kept)
    prepared = time.monotonic() - started
    # The clock runs from the first step, whatever embedding the catalogue took: a phase ends when its own time is up.
    placed = _train_items(
        item,
        [*(item_texts[row] for row in rows), *other.texts],
        kept["targets"],
        len(rows),
        budget.part(shares.item),
        seed,
        watch,
        checkpoint,
    )
    started = time.monotonic()
    vectors = torch.from_numpy(item.embed(item_texts))
    embedded = time.monotonic() - started
    read = read_requests(request, courses, budget.part(shares.reading), watch, checkpoint)
    measure = None
    if dev:
        cases = open_cases(other.looked_at_texts, other.looked_at_topics, embed, LOOKED_AT_CASES, seed, without)
        unlike = torch.from_numpy(item.embed(other.looked_at_texts))
        everything = np.arange(len(unlike))
        sets = [DevSet("facts", dev, chosen, vectors[chosen]), DevSet("words", cases, everything, unlike)]
        measure = DevAuc(request, sets)
    head_budget, requests_read = budget.part(shares.head), sum(map(len, read.lessons))
    taught = teach(
        courses,
        read.lessons,
        vectors,
        kept["facts"],
        head_budget,
        seed,
        loss,
        watch,
        checkpoint,
        measure,
        patience,
    )
    reading_seconds = read.seconds
    del read  # some gigabytes, after a long training
    request.head = taught.head
    tuning = budget.part(shares.tuning)
    sources: list[Source] = [
        *courses,
        *([Triples(questions, sum(course.share for course in courses), seed)] if questions else []),
    ]
    tuned = tune(request, taught.misunderstood, sources, vectors, tuning, seed, watch, checkpoint, measure, patience)
    add_neutral(request, batches, *vectors.split([len(catalogue), len(other.texts)]))
    return Trained(
        request,
        item,
        vectors[: len(catalogue)].numpy(),
        kept["zero-shot"].numpy(),
        {"item": placed.steps, "head": taught.descent.steps, "request": tuned.descent.steps},
        {
            "targets": prepared,
            "item": placed.seconds,
            "embedding": embedded,
            "request": reading_seconds + taught.descent.seconds + tuned.descent.seconds,
        },
        requests_read,
        {
            "item tower": placed.curve,
            "request head": taught.descent.curve,
            "request tower": tuned.descent.curve,
        },
        tuned.kept_step,
    )


def _judged_by(
    catalogue: Catalogue, rows: NDArray[np.int64], teacher: Embed | None, seed: int, usual: float
) -> tuple[Grammar, CatalogueJudge]:
    """Facts by rules; with a teacher, half the topics are words of the titles of `rows`, which it judges."""
    rule = RuleJudge(catalogue)
    if teacher is None:
        return Grammar(catalogue, usual=usual), rule
    fits = TopicFits([topic_text(item) for item in catalogue.items], teacher)
    found = catalogue_words(Catalogue(tuple(catalogue.items[row] for row in rows)))
    fits.prepare(words := random.Random(seed).sample(found, min(WORDS, len(found))))
    return Grammar(catalogue, words, usual), EmbeddingJudge(rule, fits)


def _train_items(
    tower: Tower,
    texts: Sequence[str],
    targets: Tensor,
    items: int,
    budget: Budget,
    seed: int,
    watch: Watch,
    checkpoint: Checkpoint,
) -> Descent:
    """Cosine to the target of each of the texts, the first of which are `items`. No judged score is left in it to be lost by:
    the targets hold them all at once."""
    tokens = tower.tokenize(texts)

    def loss_of(rows: list[int]) -> Tensor:
        vectors, order = tower.in_parts([tokens[row] for row in rows])
        wanted = targets[[rows[place] for place in order]]
        return (1 - (vectors * wanted).sum(dim=1)).mean()

    tower.freeze(FROZEN_LAYERS)
    tower.eval()  # without dropout: so few steps underfit, and its noise only slows them
    both = zip(
        _rounds(range(items), ITEM_BATCH, seed), _rounds(range(items, len(texts)), BEYOND_BATCH, seed), strict=True
    )
    draws = (rows + others for rows, others in both)
    return descend("item tower", [(tower, ITEM_RATE)], draws, loss_of, budget, watch, checkpoint, decay=ITEM_DECAY)


def _rounds(rows: Sequence[int], size: int, seed: int) -> Iterator[list[int]]:
    """Some rows at a time, all of them in a new order each time round."""
    shuffle, waiting = random.Random(seed), list[int]()
    size = min(size, len(rows))
    while True:
        while len(waiting) < size:
            waiting.extend(shuffle.sample(rows, len(rows)))
        yield [waiting.pop() for _ in range(size)]
