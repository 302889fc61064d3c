"""Whether a bundle still understands words and catalogues that it has never seen: five small ones, written for this alone."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

import msgspec
import numpy as np
from numpy.typing import NDArray

from ranker.bundle import Bundle
from ranker.data.teacher import lies_in
from ranker.embed import RequestEmbedder, Towers
from ranker.evaluate import auc
from ranker.experiments.baselines import backbone_cosines
from ranker.experiments.bootstrap import Estimate, mean_and_worst, mean_of
from ranker.experiments.elsewhere import Topic, items, topics
from ranker.experiments.subject import trained_on
from ranker.requests.phrasings import Split, pairs
from ranker.vectors import ItemVectors

Scores = NDArray[np.float32]
Doubles = NDArray[np.float64]
Watch = Callable[[str, float], object]
"""Is told a stage's name and which share of it is done."""
WANTED, REFUSED, BOTH = SIDES = ("topics", "refused topics", "both")
"""What a figure is of: requests for a topic, requests to be spared it, and the mean of the two."""


class Question(msgspec.Struct, frozen=True):
    """A request for a topic of a domain or, where it is `refused`, to be spared it."""

    topic: Topic
    text: str
    refused: bool


class System(msgspec.Struct, frozen=True):
    """AUC of one way of scoring items, by side. `mean` and `worst` are over domains; `worst` has its domain's name."""

    mean: dict[str, Estimate]
    worst: dict[str, Estimate]
    worst_domain: dict[str, str]
    domains: dict[str, dict[str, Estimate]]
    """Domain to side to figure."""


class Unlike(msgspec.Struct, frozen=True):
    """The experiment's outcome."""

    bundle: str
    items: int
    topics: int
    requests: int
    """Wishes of each topic, and as many refusals."""
    seed: int
    training_seed: int
    systems: dict[str, System]
    """On requests in usual phrasings."""
    unusual: dict[str, dict[str, Estimate]]
    """System to side to the mean over domains, of as many requests in unusual phrasings."""
    notes: list[str]
    """What was left out, and why."""


def unlike(
    bundle: Bundle,
    backbone: Path | None,
    teacher: Path | None,
    *,
    requests: int,
    seed: int,
    watch: Watch = lambda *_: None,
) -> Unlike:
    """Measures a bundle on other catalogues than its own. `backbone` is the untouched encoder, `teacher` a stronger one.

    None leaves either out, and so does a folder of `teacher` that holds none, which is noted. Raises DataError where
    `backbone` holds none, or the bundle's record cannot be read, and BadEvent where a tower gives no vector.
    """
    training_seed = trained_on(bundle).seed
    notes, encoders = [], {} if backbone is None else {"zero-shot": backbone}
    if teacher is not None and lies_in(teacher):
        encoders["stronger"] = teacher
    elif teacher is not None:
        notes.append(f"no stronger encoder lies in {teacher}; `ctrlrec synthesize --judge embedding` fetches one")

    asked, oddly = (questions(requests, seed, split) for split in ("usual", "heldout"))
    wordings, texts = [question.text for question in asked + oddly], [item.text for item in items()]
    scores = {"towers": served(bundle, wordings, texts, partial(watch, "towers"))}
    for name, encoder in encoders.items():
        scores[name] = backbone_cosines(encoder, wordings, texts, partial(watch, f"{name} encoder"))
    return Unlike(
        bundle=bundle.version,
        items=len(texts),
        topics=len(topics()),
        requests=requests,
        seed=seed,
        training_seed=training_seed,
        systems={name: _system(figures(asked, each[: len(asked)]), seed) for name, each in scores.items()},
        unusual={name: _system(figures(oddly, each[len(asked) :]), seed).mean for name, each in scores.items()},
        notes=notes,
    )


def questions(requests: int, seed: int, split: Split) -> list[Question]:
    """Of each topic `requests` wishes and as many refusals, in shapes of one split, no shape twice for one topic.

    A wish and its refusal have the same shape and the same name of the topic: only what makes it a refusal differs.
    """
    random, asked = Random(seed), []
    for topic in topics():
        for shape in random.sample(pairs("pairs", split), requests):
            name = random.choice(topic.names)
            asked.append(Question(topic, shape.wish.format(x=name), refused=False))
            asked.append(Question(topic, shape.refusal.format(x=name), refused=True))
    return asked


def served(
    towers: Towers, requests: Sequence[str], texts: Sequence[str], advance: Callable[[float], object] = lambda _: None
) -> Scores:
    """(m, n) cosines of m requests with n items, each embedded and quantized as a worker does with what comes to it new."""
    embedder, of = RequestEmbedder(towers), len(requests) + len(texts)
    vectors = []
    for done, text in enumerate(texts, 1):
        vectors.append(embedder.quantized_item(text))
        advance(done / of)
    scales = np.array([vector.scale for vector in vectors], np.float32)
    known = ItemVectors([str(row) for row in range(len(texts))], np.stack([each.floats() for each in vectors]), scales)
    rows, scores = np.arange(len(texts)), np.empty((len(requests), len(texts)), np.float32)
    for place, text in enumerate(requests):
        vector = embedder.quantized(text, None)
        scores[place] = known.scores(rows, vector.floats()) * np.float32(vector.scale)
        advance((len(texts) + place + 1) / of)
    return scores


def figures(asked: Sequence[Question], scores: Scores) -> dict[str, Doubles]:
    """Side to (topics,) AUC within a topic's domain, the mean of its requests; `scores` (m, n) of m requests and all items.

    Relevant are, to a wish, the items that list the topic and, to a refusal, those that do not.
    """
    found: dict[str, list[float]] = {WANTED: [], REFUSED: []}
    for topic in topics():
        columns = [place for place, item in enumerate(items()) if item.domain == topic.domain]
        listed = np.array([topic.topic in items()[place].topics for place in columns])
        for side, refused in ((WANTED, False), (REFUSED, True)):
            rows = [row for row, each in enumerate(asked) if each.topic == topic and each.refused == refused]
            found[side].append(float(np.mean([auc(scores[row, columns], listed != refused) for row in rows])))
    wanted, refusals = (np.array(each) for each in found.values())
    return {WANTED: wanted, REFUSED: refusals, BOTH: (wanted + refusals) / 2}


def _system(found: dict[str, Doubles], seed: int) -> System:
    """`found` is (topics,) by side; topics are what is resampled, domain by domain."""
    strata = [topic.domain for topic in topics()]
    domains = {
        name: {side: mean_of(each[[domain == name for domain in strata]], seed) for side, each in found.items()}
        for name in dict.fromkeys(strata)
    }
    over = {side: mean_and_worst(each, strata, seed) for side, each in found.items()}
    return System(
        mean={side: mean for side, (mean, _) in over.items()},
        worst={side: worst for side, (_, worst) in over.items()},
        worst_domain={side: min(domains, key=lambda name: domains[name][side].value) for side in found},
        domains=domains,
    )
