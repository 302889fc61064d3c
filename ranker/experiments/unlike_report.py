"""The page and the plot of the experiment on unlike catalogues."""

from pathlib import Path

from rich.table import Table

from ranker.experiments.report import COLOURS, figure, table, whiskers, write
from ranker.experiments.unlike import BOTH, REFUSED, SIDES, WANTED, Unlike

NAME = "unlike"
MEANINGS = {
    "towers": "the bundle's own, quantized, embedding items as a worker does with new ones",
    "zero-shot": "the untouched encoder, such as towers are trained from",
    "stronger": "the embedding judge's encoder, untouched, too",
}
PAGE = """# Unlike catalogues: are words and items understood that no training had?

Bundle `{bundle}` (trained with seed {training_seed}) on five small catalogues unlike its own, {items} items and {topics}
topics in all; of each topic {requests} wishes and as many refusals of the same shapes, in usual phrasings that
training never saw; drawn with seed {seed}. Brackets are 95 % bootstrap intervals over topics, drawn domain by domain.

![AUC by domain](unlike.png)

## What came out

{systems}
AUC: of a wish, an item that lists the topic above one of its domain that does not; of a refusal, the other way round;
mean over the topics of a domain, then over domains. *Both* is the mean of the two: an encoder that hears what a request
is about, but not whether it is wanted, has as much less than 0.5 of the one as it has more of the other, and 0.5 of both.

In unusual phrasings, as many requests, mean over domains:

{unusual}
{notes}## By domain

{domains}
## How it is measured

- **Items** are short texts about recipes, podcasts, courses, products and news, which hardly ever say a topic's name.
  They were written for this experiment, and nothing is to be trained or chosen on them.
- **Requests** name a topic in one of three ways, in held-out shapes; a wish and its refusal differ in nothing else.
- **Labels** are one author's, who wrote the texts, too. No reader was asked, and the five domains are no sample of all
  catalogues: the intervals are over topics such as these.
- Single words of the topics' names may be among the common words that a training asks about, over other texts.
"""


def write_report(outcome: Unlike, folder: Path) -> None:
    """unlike.json, unlike.md and a plot in `folder`."""
    write(folder, NAME, outcome, page(outcome))
    _draw(outcome, folder / "unlike.png")


def page(outcome: Unlike) -> str:
    """The Markdown page."""
    return PAGE.format(
        bundle=outcome.bundle, training_seed=outcome.training_seed, items=outcome.items, topics=outcome.topics,
        requests=outcome.requests, seed=outcome.seed,
        systems=table(
            ["", "", *SIDES, "note"],
            [
                row
                for name, each in outcome.systems.items()
                for row in (
                    [name, "mean", *(each.mean[side] for side in SIDES), MEANINGS[name]],
                    ["", "worst domain", *(f"{each.worst[side]} ({each.worst_domain[side]})" for side in SIDES), ""],
                )
            ],
        ),
        unusual=table(
            ["", *SIDES], [[name, *(means[side] for side in SIDES)] for name, means in outcome.unusual.items()]
        ),
        notes="".join(f"Left out: {note}.\n\n" for note in outcome.notes),
        domains=table(
            ["domain", "", *SIDES],
            [
                [domain, name, *(each.domains[domain][side] for side in SIDES)]
                for domain in outcome.systems["towers"].domains
                for name, each in outcome.systems.items()
            ],
        ),
    )  # fmt: skip


def terminal_table(outcome: Unlike) -> Table:
    """AUC by domain of every system, for the terminal."""
    shown = Table(title=f"AUC on unlike catalogues, {WANTED} / {REFUSED}, {outcome.topics} topics, usual phrasings")
    shown.add_column("domain")
    for name in outcome.systems:
        shown.add_column(name, justify="right")
    towers = outcome.systems["towers"]
    for domain in towers.domains:
        mark = " ← worst" if domain == towers.worst_domain[BOTH] else ""
        rows = [each.domains[domain] for each in outcome.systems.values()]
        shown.add_row(domain + mark, *(f"{row[WANTED].value:.3f} / {row[REFUSED].value:.3f}" for row in rows))
    shown.add_section()
    for side in SIDES:
        shown.add_row(side, *(str(each.mean[side]) for each in outcome.systems.values()))
    shown.add_section()
    for side in SIDES:
        shown.add_row(f"{side}, unusual phrasings", *(str(each[side]) for each in outcome.unusual.values()))
    return shown


def _draw(outcome: Unlike, path: Path) -> None:
    domains, last = list(outcome.systems["towers"].domains), len(outcome.systems) - 1
    means = len(domains) + 0.22
    with figure(path, "AUC on catalogues unlike the bundle's own, usual phrasings", 2, width=9.5) as axes:
        for each, side in zip(axes, (WANTED, REFUSED), strict=True):
            for place, (name, system) in enumerate(outcome.systems.items()):
                estimates = [*(system.domains[domain][side] for domain in domains), system.mean[side]]
                heights = [row + (place - last / 2) * 0.2 for row in (*range(len(domains)), means)]
                each.errorbar(
                    [one.value for one in estimates], heights, xerr=whiskers(estimates), fmt="os^"[place], ms=6,
                    color=COLOURS[place], elinewidth=1.2, label=name,
                )  # fmt: skip
            each.axvline(0.5, color="black", lw=0.8, ls=":")
            each.axhline(len(domains) - 0.38, color="black", lw=0.6)
            each.set_yticks([*range(len(domains)), means], [*domains, "mean"] if side == WANTED else [])
            each.set_ylim(len(domains) + 0.8, -0.6)
            each.set_title(side, fontsize=10)
            each.set_xlabel("AUC, with 95 % intervals (dotted: chance)")
        lowest = min(0.4, *(each.get_xlim()[0] for each in axes))
        for each in axes:
            each.set_xlim(lowest, 1.005)
        axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
