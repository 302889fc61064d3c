"""The data card: what is in a folder of triples, counted from its files, as JSON, Markdown and a picture."""

from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq

from ranker.judges.rule import RELEVANT
from ranker.synthesis.plan import SPLITS, Manifest

BINS = 20
DRAWN = ("positive", "hard negative", "random")
EXAMPLES = 2
"""Of each category: so many that fit and so many that nearly do."""


class Example(msgspec.Struct, frozen=True):
    category: str
    request: str
    context: str | None
    item: str
    score: float
    drawn: str


class Card(msgspec.Struct, frozen=True):
    """`histogram` has the scores in 20 equal bins from 0 to 1, by why the item was drawn; `fitting` counts those from 0.5."""

    judge: str
    seed: int
    triples: int
    questions: int
    requests: int
    users: int
    items: int
    categories: dict[str, dict[str, int]]
    fitting: dict[str, int]
    splits: dict[str, dict[str, int]]
    all_train: int
    """Triples of which phrasing, item, user and category are all to be trained with."""
    mean_score: dict[str, float]
    histogram: dict[str, list[int]]
    examples: list[Example]


COLUMNS = ["question", "user_id", "context", "request", "item_id", "item_text", "score", "category", "drawn", *SPLITS]


def make_card(out: Path, manifest: Manifest) -> Card:
    """Read back what was written, one file at a time."""
    categories: dict[str, Counter[str]] = {}
    fitting: Counter[str] = Counter()
    splits: dict[str, Counter[str]] = {name: Counter() for name in SPLITS}
    sums: dict[str, float] = {}
    histogram = {why: np.zeros(BINS, dtype=np.int64) for why in DRAWN}
    seen: dict[str, set[object]] = {name: set() for name in ("question", "request", "user_id", "item_id")}
    examples: dict[tuple[str, str], list[Example]] = {}
    triples = all_train = 0
    for file in manifest.files:
        table = pq.read_table(out / file.name, columns=COLUMNS)
        triples += table.num_rows
        columns = {name: table[name].to_numpy() for name in COLUMNS}
        for name, distinct in seen.items():
            distinct.update(table[name].unique().to_pylist())
        for name, counts in splits.items():
            counts.update({entry["values"]: entry["counts"] for entry in table[name].value_counts().to_pylist()})
        all_train += int(np.all([columns[name] == "train" for name in SPLITS], axis=0).sum())
        for category in table["category"].unique().to_pylist():
            here = columns["category"] == category
            for why in DRAWN:
                rows = np.flatnonzero(here & (columns["drawn"] == why))
                scores = columns["score"][rows]
                categories.setdefault(category, Counter())[why] += len(rows)
                fitting[category] += int((scores >= RELEVANT).sum())
                sums[category] = sums.get(category, 0.0) + float(scores.sum(dtype=np.float64))
                histogram[why] += np.histogram(scores, bins=BINS, range=(0, 1))[0]
                found = examples.setdefault((category, why), [])
                for row in rows[:: max(len(rows) // EXAMPLES, 1)][: EXAMPLES - len(found)]:
                    request, context, item = (columns[name][row] for name in ("request", "context", "item_text"))
                    found.append(Example(category, request, context, item, float(columns["score"][row]), why))
    return Card(
        judge=manifest.plan.judge,
        seed=manifest.plan.seed,
        triples=triples,
        questions=len(seen["question"]),
        requests=len(seen["request"]),
        users=len(seen["user_id"]),
        items=len(seen["item_id"]),
        categories={name: dict(counts) for name, counts in sorted(categories.items())},
        fitting=dict(sorted(fitting.items())),
        splits={name: dict(sorted(counts.items())) for name, counts in splits.items()},
        all_train=all_train,
        mean_score={name: round(sums[name] / max(sum(categories[name].values()), 1), 4) for name in sorted(categories)},
        histogram={why: counts.tolist() for why, counts in histogram.items()},
        examples=[example for key in sorted(examples) if key[1] != "random" for example in examples[key]],
    )


def write_card(out: Path, card: Card) -> None:
    """card.json, card.md and card.png."""
    (out / "card.json").write_bytes(msgspec.json.format(msgspec.json.encode(card)) + b"\n")
    (out / "card.md").write_text(markdown(card), encoding="utf-8")
    draw(out / "card.png", card)


def markdown(card: Card) -> str:
    """The card to be read."""
    lines = [
        f"# {card.triples:,} triples, judged by {card.judge}, seed {card.seed}",
        "",
        f"{card.questions:,} questions ({card.requests:,} distinct requests, {card.users:,} users) about {card.items:,} items. "
        f"{card.all_train:,} triples ({card.all_train / max(card.triples, 1):.0%}) lie on the training side of every split.",
        "",
        "![Triples by category, and their scores](card.png)",
        "",
        "| category | positives | hard negatives | at random | scores of 0.5 or more | mean score |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, counts in card.categories.items():
        drawn = " | ".join(f"{counts.get(why, 0):,}" for why in DRAWN)
        lines.append(f"| {name} | {drawn} | {card.fitting[name]:,} | {card.mean_score[name]:.3f} |")
    lines += ["", "| split | " + " | ".join(("train", "dev", "heldout")) + " |", "|---|--:|--:|--:|"]
    for name, sides in card.splits.items():
        counted = " | ".join(f"{sides.get(side, 0):,}" for side in ("train", "dev", "heldout"))
        lines.append(f"| {name.removesuffix('_split')} | {counted} |")
    lines += ["", "## Examples", "", "| category | request | item | drawn as | score |", "|---|---|---|---|--:|"]
    for example in card.examples:
        context = f" ({example.context})" if example.category == "taste" and example.context else ""
        request, item = (text.replace("|", "\\|") for text in (example.request + context, example.item))
        lines.append(f"| {example.category} | {request} | {item} | {example.drawn} | {example.score:.2f} |")
    return "\n".join(lines) + "\n"


def draw(path: Path, card: Card) -> None:
    """Two panels: how many of which category, and the histogram of scores."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    names, start = list(card.categories), np.zeros(len(card.categories))
    edges = np.linspace(0, 1, BINS + 1)
    for why, colour in zip(DRAWN, ("#2a7f62", "#c8553d", "#7b8794"), strict=True):
        counts = np.array([card.categories[name].get(why, 0) for name in names])
        left.barh(names, counts, left=start, color=colour)
        start = start + counts
        right.stairs(np.array(card.histogram[why]), edges, color=colour, linewidth=2, label=why)
    left.invert_yaxis()
    left.set_xlabel("triples")
    left.set_title("By category")
    right.set_xlabel(f"score by {card.judge}")
    right.set_ylabel("triples")
    right.set_yscale("symlog", linthresh=100)
    right.set_title("By score")
    figure.legend(loc="outside lower center", ncols=len(DRAWN), frameon=False)
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
