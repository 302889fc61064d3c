"""How well the towers reproduce the judge on what they have not seen: phrasings, users, items, categories of requests."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ranker.errors import DataError
from ranker.evaluate import Case
from ranker.experiments.baselines import backbone_cosines, bm25_scores
from ranker.experiments.bootstrap import Estimate, mean_and_worst, mean_of
from ranker.experiments.costs import Cost, costs
from ranker.experiments.draw import measured, said_otherwise
from ranker.experiments.measures import balanced, mean_squared_error, ndcg, ranking_auc, reliability, spearman
from ranker.experiments.subject import Subject
from ranker.requests import Grammar

Scores = NDArray[np.float32]
Doubles = NDArray[np.float64]
Watch = Callable[[str, float], object]
"""Is told a stage's name and which share of it is done."""
MEASURES = ("auc", "spearman", "mse", "ndcg@10")
CALIBRATION_CASES = 15
"""Dev requests of each category that the calibration of a system without one is fitted to."""


class System(msgspec.Struct, frozen=True):
    """One way of scoring items. `mean` and `worst` are over categories, by measure; `worst` is of AUC, with its category."""

    mean: dict[str, Estimate]
    worst: Estimate
    worst_category: str
    categories: dict[str, dict[str, Estimate]]
    """Category to measure to figure."""
    paraphrase: Estimate
    """Spearman's ρ of the scores of one request with those of the same request said otherwise."""
    calibration_error: float
    reliability: dict[str, list[float | None]]
    """`alignment`, `relevant` and `share` of ten bins."""


class Slice(msgspec.Struct, frozen=True):
    """Mean AUC of the towers over categories, on what they were trained with and on what was kept from them."""

    name: str
    seen: Estimate | None
    unseen: Estimate | None
    note: str


class Distillation(msgspec.Struct, frozen=True):
    """The experiment's outcome."""

    bundle: str
    judge: str
    items: int
    requests: int
    users: int
    seed: int
    training_seed: int
    trained_without: list[str]
    systems: dict[str, System]
    unusual: dict[str, Estimate]
    """Category to the towers' AUC on the same requests in unusual phrasings."""
    unusual_mean: Estimate | None
    """Over categories."""
    slices: list[Slice]
    costs: list[Cost]
    worst_request: dict[str, str]
    """Of each category, the request that the towers understood worst."""


class Prices(msgspec.Struct, frozen=True):
    """US dollars; None where not told, and then nothing is worked out from it."""

    million_tokens: float | None = None
    core_hour: float | None = None


FREE = Prices()


def distillation(
    subject: Subject,
    backbone: Path | None,
    *,
    per_category: int,
    users: int,
    seed: int,
    prices: Prices = FREE,
    watch: Watch = lambda *_: None,
) -> Distillation:
    """Measures a bundle against the rule judge. `backbone` is the untouched encoder; None leaves it out.

    Raises DataError where the catalogue offers no requests to measure with.
    """
    held, trained_with = subject.users(users, seed)
    catalogue, grammar = subject.dataset.catalogue, Grammar(subject.dataset.catalogue)
    asked = measured(subject.dataset, held, "usual", per_category, seed)
    if not asked:
        raise DataError("no request about this catalogue has three items that fit and three that do not")
    again = said_otherwise(grammar, asked, "usual", seed)
    known = said_otherwise(grammar, asked, "train", seed)
    oddly = said_otherwise(grammar, asked, "heldout", seed)
    by_others = measured(subject.dataset, trained_with, "usual", per_category, seed) if trained_with else []
    dev = measured(subject.dataset, trained_with or held, "dev", CALIBRATION_CASES, seed)
    texts = [case.text for case in asked]

    everything = [*texts, *again, *known, *oddly, *(case.text for case in by_others)]
    towers = subject.cosines(everything, lambda done: watch("towers", done))
    ours, paraphrased, in_known_words, in_odd_words, of_others = np.split(towers, np.cumsum([len(asked)] * 4))
    systems = {"towers": _system(asked, ours, subject.alignment(ours), paraphrased, seed)}
    untuned: dict[str, Scores] = {}
    read = [*texts, *again, *(case.text for case in dev)]
    if backbone is not None:
        untuned["zero-shot"] = backbone_cosines(
            backbone, read, catalogue.texts(), lambda done: watch("zero-shot backbone", done)
        )
    untuned["BM25"] = bm25_scores(read, catalogue.texts())
    for place, (name, scores) in enumerate(untuned.items()):
        theirs, otherwise, on_dev = np.split(scores, [len(asked), 2 * len(asked)])
        systems[name] = _system(asked, theirs, _calibrated(dev, on_dev, theirs), otherwise, seed)
        watch("figures", (place + 1) / len(untuned))

    aucs, odd = _aucs(asked, ours), _aucs(asked, in_odd_words)
    unusual = _mean(asked, odd, seed)
    worst = {case.category: (2.0, "") for case in asked}
    for case, figure in zip(asked, aucs, strict=True):
        worst[case.category] = min(worst[case.category], (figure, case.text))
    return Distillation(
        bundle=subject.bundle.version,
        judge="rule",
        items=len(catalogue),
        requests=len(asked),
        users=len(held),
        seed=seed,
        training_seed=subject.trained.seed,
        trained_without=subject.trained.without,
        systems=systems,
        unusual=_by_category(asked, odd, seed),
        unusual_mean=unusual,
        slices=[
            Slice("usual phrasings", _mean(asked, _aucs(asked, in_known_words), seed), _mean(asked, aucs, seed),
                  "the same requests of the same users, in training phrasings and in usual ones held out"),
            Slice("unusual phrasings", _mean(asked, _aucs(asked, in_known_words), seed), unusual,
                  "the same, and unusual ones held out"),
            Slice("users", _mean(by_others, _aucs(by_others, of_others), seed), _mean(asked, aucs, seed),
                  "other requests, in usual phrasings on both sides"),
            _items(subject, asked, ours, seed),
            _categories(subject, asked, aucs, seed),
        ],
        costs=costs(subject, texts, [case.spec for case in asked], prices.million_tokens, prices.core_hour),
        worst_request={category: text for category, (_, text) in worst.items()},
    )  # fmt: skip


def _system(asked: Sequence[Case], scores: Scores, alignment: Doubles, otherwise: Scores, seed: int) -> System:
    """`scores` and `alignment` (m, n) of m requests, and `otherwise` (m, n) of the same requests in other words."""
    relevant = np.stack([case.relevant for case in asked])
    weights = balanced(relevant)
    figures: dict[str, Doubles] = {
        "auc": _aucs(asked, scores),
        "spearman": _each(spearman, scores, asked),
        "mse": np.array(
            [mean_squared_error(*row) for row in zip(alignment, [case.judged for case in asked], weights, strict=True)]
        ),
        "ndcg@10": _each(ndcg, scores, asked),
    }
    strata: list[str] = [case.category for case in asked]
    by_measure = {measure: _by_category(asked, values, seed) for measure, values in figures.items()}
    categories = {name: {measure: by[name] for measure, by in by_measure.items()} for name in by_measure["auc"]}
    diagram = reliability(alignment.ravel(), relevant.ravel(), weights.ravel())
    agreement = np.array([spearman(*pair) for pair in zip(scores, otherwise, strict=True)])
    return System(
        mean={measure: mean_and_worst(values, strata, seed)[0] for measure, values in figures.items()},
        worst=mean_and_worst(figures["auc"], strata, seed)[1],
        worst_category=min(categories, key=lambda name: categories[name]["auc"].value),
        categories=categories,
        paraphrase=mean_of(agreement, seed),
        calibration_error=diagram.error,
        reliability={
            name: [None if np.isnan(value) else float(value) for value in values]
            for name, values in diagram._asdict().items()
        },
    )


def _each(measure: Callable[[Scores, Scores], float], scores: Scores, asked: Sequence[Case]) -> Doubles:
    return np.array([measure(row, case.judged) for row, case in zip(scores, asked, strict=True)])


def _aucs(asked: Sequence[Case], scores: Scores) -> Doubles:
    return _each(ranking_auc, scores, asked)


def _by_category(asked: Sequence[Case], figures: Doubles, seed: int) -> dict[str, Estimate]:
    categories = np.array([case.category for case in asked])
    return {name: mean_of(figures[categories == name], seed) for name in dict.fromkeys(categories.tolist())}


def _mean(asked: Sequence[Case], figures: Doubles, seed: int) -> Estimate | None:
    """The mean over categories of (m,) figures; None where there is none."""
    if not np.isfinite(figures).any():
        return None
    return mean_and_worst(figures, [case.category for case in asked], seed)[0]


def _calibrated(dev: Sequence[Case], on_dev: Scores, scores: Scores) -> Doubles:
    """Scores as chances, by the curve that training fits for towers, fitted to dev requests."""
    from ranker.training.calibration import calibrate

    curve = calibrate(dev, lambda _: on_dev, np.eye(on_dev.shape[1], dtype=np.float32))
    chances: Doubles = 1 / (1 + np.exp(-(curve.slope * scores.astype(np.float64) + curve.intercept)))
    return chances


def _items(subject: Subject, asked: Sequence[Case], scores: Scores, seed: int) -> Slice:
    """AUC over the items of each side alone, of the requests that have three of either kind on both."""
    unseen = np.isin([item.item_id for item in subject.dataset.catalogue.items], subject.trained.items_held_out)
    if not unseen.any():
        return Slice("items", None, None, "no items were kept from this bundle's training")
    sides = [
        np.array([ranking_auc(row[side], case.judged[side]) for row, case in zip(scores, asked, strict=True)])
        for side in (~unseen, unseen)
    ]
    both = np.isfinite(sides[0]) & np.isfinite(sides[1])
    seen_side, unseen_side = (_mean(asked, np.where(both, side, np.nan), seed) for side in sides)
    return Slice(
        "items", seen_side, unseen_side, f"{unseen.sum()} items kept from training; {both.sum()} requests can tell"
    )


def _categories(subject: Subject, asked: Sequence[Case], figures: Doubles, seed: int) -> Slice:
    left_out = np.array([case.category in subject.trained.without for case in asked])
    if not left_out.any():
        return Slice("categories", None, None, "no category was kept from this bundle's training")
    seen, unseen = (_mean(asked, np.where(side, figures, np.nan), seed) for side in (~left_out, left_out))
    return Slice("categories", seen, unseen, f"never trained on: {', '.join(subject.trained.without)}")


def best_of(systems: Mapping[str, System], measure: str) -> str:
    """The system with the best mean."""
    sign = -1 if measure == "mse" else 1
    return max(systems, key=lambda name: sign * systems[name].mean[measure].value)
