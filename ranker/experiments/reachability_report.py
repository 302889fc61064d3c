"""The page and the plots of the reachability experiment."""

from pathlib import Path

from rich.table import Table

from ranker.experiments.journeys import ALL, PERFECT
from ranker.experiments.reachability import METHODS, Kinds, Reachability
from ranker.experiments.report import COLOURS, figure, table, write

NAME = "reachability"
TITLES = {"taste": "towards another user's taste", "genre and era": "towards a genre in a decade"}
PAGE = """# Reachability: can a user move their feed to where they want it?

Bundle `{bundle}`, {users} users whom training never saw, each moved towards {targets} targets of each kind, {tries}
tries each way; feeds of {feed} items; words at weight w = {weight:g}, fused by `{fusion}`, requests written by
{written_by}; seed {seed}.
Brackets are 95 % bootstrap intervals over users and targets, both being samples.

![Share of the gap closed](reachability-tries.png)

## What came out

{summary}
Share: how much of the gap between the feed and the target was closed, where 1 is as near as the target's own items
come. The ratio is what words close to what filters close with as many tries; above 1, words reach further. {verdict}

![Distances](reachability-distance.png)

## How it is measured

- **Targets.** A *taste* is another user's: of what they rated at least as high as their own mean, the earlier half is
  known and the later half held out. A *genre and era* is all items of a genre in a decade, known in full.
- **Distance.** The mean of the Jensen-Shannon distances between the feed's and the target's distribution over genres
  and decades and, for tastes, quarters of popularity and acclaim; to the held-out part of the target.
- **Filters**: one genre or any, one decade or any; what passes, in base order. **Words**: one request, ranked by the
  function that serves. Either is tried in the order of how near the items that it *means* lie to the known part of
  the target, so both sides know the same and try equally often; the best is chosen by the known part and measured on
  the held-out one; to leave the feed as it is costs no try.
- *Words, understood perfectly* has the rule judge in the towers' place: how far the same words could reach.
  *Best of all filters* is the best of all {filters} combinations, chosen by the known part: more tries than
  anybody makes.

## Where filters win

{winners}
## What was tried

{examples}"""


def write_report(outcome: Reachability, folder: Path) -> None:
    """reachability.json, reachability.md and two plots in `folder`."""
    write(folder, NAME, outcome, page(outcome))
    _draw_tries(outcome, folder / "reachability-tries.png")
    _draw_distance(outcome, folder / "reachability-distance.png")


def page(outcome: Reachability) -> str:
    """The Markdown page."""
    return PAGE.format(
        bundle=outcome.bundle, users=outcome.users,
        targets=outcome.targets, tries=outcome.tries, feed=outcome.feed, weight=outcome.weight, fusion=outcome.fusion,
        written_by=outcome.written_by, seed=outcome.seed, filters=outcome.filters,
        summary=table(
            ["targets", "journeys", "distance before", "of the target's own items",
             *(f"share: {name}" for name in METHODS), "words / filters", "words / all filters"],
            [
                [kind, each.journeys, each.before, each.attainable,
                 *(each.share[name][-1] if name in each.share else None for name in METHODS),
                 each.words_to_filters, each.words_to_all_filters]
                for kind, each in outcome.kinds.items()
            ],
        ),
        verdict=" ".join(f"For targets of {kind}, {verdict(each)}." for kind, each in outcome.kinds.items()),
        winners="".join(_winners(kind, each) for kind, each in outcome.kinds.items()),
        examples="".join(f"- {example}\n" for example in outcome.examples),
    )  # fmt: skip


def verdict(each: Kinds) -> str:
    """Who reaches further, as far as the interval tells."""
    if each.words_to_filters.low > 1:
        return "words reach further"
    return "filters reach further" if each.words_to_filters.high < 1 else "the interval does not tell them apart"


def terminal_table(outcome: Reachability) -> Table:
    """Shares by kind of target, for the terminal."""
    shown = Table(title=f"share of the gap closed, best of {outcome.tries} tries, w = {outcome.weight:g}")
    for name in ("targets", *METHODS, "words / filters"):
        shown.add_column(name, justify="left" if name == "targets" else "right")
    for kind, each in outcome.kinds.items():
        shares = [str(each.share[name][-1]) if name in each.share else "" for name in METHODS]
        shown.add_row(kind, *shares, str(each.words_to_filters))
    return shown


def _winners(kind: str, each: Kinds) -> str:
    lines = [f"Targets of {kind}: filters end nearer in {each.filters_nearer:.0%} of the journeys."]
    lines += [f"Filters lead most for {', '.join(each.filters_lead)}."] if each.filters_lead else []
    lines += [f"Words lead most for {', '.join(each.words_lead)}."] if each.words_lead else []
    return " ".join(lines) + "\n\n"


def _draw_tries(outcome: Reachability, path: Path) -> None:
    tries = range(1, outcome.tries + 1)
    with figure(path, "How much of the gap to the target is closed?", len(outcome.kinds), width=9.5) as axes:
        for each, (kind, found) in zip(axes, outcome.kinds.items(), strict=True):
            for place, name in enumerate(METHODS):
                if name not in found.share:
                    continue
                shares = found.share[name]
                each.plot(
                    tries, [share.value for share in shares], color=COLOURS[place], lw=2, label=name,
                    ls=":" if name == ALL else "--" if name == PERFECT else "-",
                )  # fmt: skip
                if name in ("words", "filters"):
                    low, high = [share.low for share in shares], [share.high for share in shares]
                    each.fill_between(tries, low, high, color=COLOURS[place], alpha=0.15, lw=0)
            each.set_title(TITLES[kind], fontsize=10)
            each.set_xlabel("tries")
            each.set_ylim(bottom=min(0, each.get_ylim()[0]))
            each.set_xticks(tries)
        axes[0].set_ylabel("share of the gap closed")
        axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)


def _draw_distance(outcome: Reachability, path: Path) -> None:
    """Distances are in the page's own units: what is before, what each way leaves, and what is attainable."""
    with figure(path, "Distance to the target, before and after", height=1.2 + 1.4 * len(outcome.kinds)) as (axes,):
        height, labels = 0.0, {}
        for kind, each in outcome.kinds.items():
            gap = each.before.value - each.attainable.value
            rows = {"before": (each.before.value, COLOURS[2])}
            for place, name in enumerate(METHODS):
                if name in each.share:
                    rows[name] = (each.before.value - gap * each.share[name][-1].value, COLOURS[place])
            axes.text(0, height - 0.75, TITLES[kind], fontsize=10, fontweight="bold")
            for name, (value, colour) in rows.items():
                axes.barh(height, value, color=colour, height=0.7, alpha=0.55 if name == "before" else 1)
                axes.text(value + 0.005, height, f"{value:.3f}", va="center", fontsize=8)
                labels[height] = name
                height += 1
            axes.plot(
                [each.attainable.value] * 2, [height - len(rows) - 0.4, height - 0.6], color="black", lw=1.2, ls=":"
            )
            height += 1.3
        axes.set_yticks(list(labels), list(labels.values()))
        axes.invert_yaxis()
        axes.set_xlabel("Jensen-Shannon distance; dotted: the target's own items")
