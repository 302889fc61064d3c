"""The page and the plots of the distillation experiment."""

from pathlib import Path

from rich.table import Table

from ranker.experiments.distillation import MEASURES, Distillation
from ranker.experiments.report import COLOURS, figure, table, whiskers, write

NAME = "distillation"
PAGE = """# Distillation: do the towers say what the judge says?

Bundle `{bundle}` (trained with seed {training_seed}), {requests} requests in ten categories by {users} users whom
training never saw, in usual phrasings that it never saw, each over all {items} items; drawn with seed {seed}. The judge is
the **{judge} judge**, which decides from catalogue facts; a figure here says how well it is reproduced, not how well
readers are pleased. Brackets are 95 % bootstrap intervals over requests, drawn category by category.

![AUC by category](distillation-auc.png)

## Beside what needs no training

{systems}
AUC: an item that the judge scores 0.5 or more above one that it does not. MSE: of the calibrated alignment, relevant
and other items weighing the same; always saying 0.5 has about 0.25. The others' alignments are calibrated on the same
dev requests as the towers'. Paraphrase: Spearman's ρ of a system's scores of one request with those of the same
request said otherwise; the rule judge's own is 1 by construction, since it is told what a request means and never
reads the words.

Worst category: {worst}.

## By category, towers

{categories}
Unusual phrasings are the same requests said in rare turns of phrase, which are as far from what training said as a native
reader still understands.

## What was kept from training

{slices}
Mean AUC over categories. A slice without figures was not kept from this bundle's training: see its note.

## Calibration

![Reliability](distillation-calibration.png)

The alignment claimed against the share that the judge finds relevant, relevant and other items of each request
weighing the same. Expected calibration error: {errors}.

## Cost of 1,000 candidates for one new request

{costs}
![Cost](distillation-cost.png)

## Understood worst

{worst_requests}"""


def write_report(outcome: Distillation, folder: Path) -> None:
    """distillation.json, distillation.md and three plots in `folder`."""
    write(folder, NAME, outcome, page(outcome))
    _draw_auc(outcome, folder / "distillation-auc.png")
    _draw_calibration(outcome, folder / "distillation-calibration.png")
    _draw_cost(outcome, folder / "distillation-cost.png")


def page(outcome: Distillation) -> str:
    """The Markdown page."""
    systems, towers = outcome.systems, outcome.systems["towers"]
    priced = any(cost.dollars is not None for cost in outcome.costs)
    return PAGE.format(
        bundle=outcome.bundle, training_seed=outcome.training_seed, requests=outcome.requests, users=outcome.users,
        items=outcome.items, seed=outcome.seed, judge=outcome.judge,
        systems=table(
            ["", "AUC", "Spearman", "MSE", "nDCG@10", "worst category's AUC", "paraphrase"],
            [[name, *(each.mean[m] for m in MEASURES), each.worst, each.paraphrase] for name, each in systems.items()],
        ),
        worst="; ".join(f"{name}'s is {each.worst_category}" for name, each in systems.items()),
        categories=table(
            ["category", "AUC", "Spearman", "MSE", "nDCG@10", "AUC, in unusual phrasings"],
            [
                [name + (" (never trained on)" if name in outcome.trained_without else ""), *(row[m] for m in MEASURES),
                 outcome.unusual[name]]
                for name, row in towers.categories.items()
            ],
        ),
        slices=table(["", "trained with", "kept from training", "note"],
                     [[each.name, each.seen, each.unseen, each.note] for each in outcome.slices]),
        errors=", ".join(f"{name} {each.calibration_error:.3f}" for name, each in systems.items()),
        costs=table(
            ["", "ms", "LLM tokens", *(["US $"] if priced else []), "note"],
            [
                [cost.name, None if cost.milliseconds is None else milliseconds(cost.milliseconds),
                 None if cost.tokens is None else f"{cost.tokens:,}",
                 *([None if cost.dollars is None else f"{cost.dollars:.2g}"] if priced else []), cost.note]
                for cost in outcome.costs
            ],
        ),
        worst_requests="".join(f"- {name}: {text}\n" for name, text in outcome.worst_request.items()),
    )  # fmt: skip


def milliseconds(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def terminal_table(outcome: Distillation) -> Table:
    """AUC by category of every system, for the terminal."""
    shown = Table(
        title=f"AUC against the {outcome.judge} judge, usual phrasings and users held out, {outcome.requests} requests"
    )
    shown.add_column("category")
    for name in (*outcome.systems, "towers, unusual phrasings"):
        shown.add_column(name, justify="right")
    towers = outcome.systems["towers"]
    for category in towers.categories:
        mark = " ← worst" if category == towers.worst_category else ""
        figures = [each.categories[category]["auc"].value for each in outcome.systems.values()]
        shown.add_row(category + mark, *(f"{figure:.3f}" for figure in (*figures, outcome.unusual[category].value)))
    shown.add_section()
    shown.add_row("mean", *(str(each.mean["auc"]) for each in outcome.systems.values()), str(outcome.unusual_mean))
    return shown


def _draw_auc(outcome: Distillation, path: Path) -> None:
    names = list(outcome.systems["towers"].categories)
    labels = [name.replace("_", " ") + ("*" if name in outcome.trained_without else "") for name in names]
    with figure(path, "AUC against the judge, by category of request", height=4.8) as (axes,):
        for place, (system, figures) in enumerate(outcome.systems.items()):
            estimates = [*(figures.categories[name]["auc"] for name in names), figures.mean["auc"]]
            heights = [row + (0.22 if row == len(names) else 0) + (place - 1) * 0.18 for row in range(len(names) + 1)]
            axes.errorbar(
                [each.value for each in estimates], heights, xerr=whiskers(estimates), fmt="os^"[place], ms=6,
                color=COLOURS[place], elinewidth=1.2, label=system,
            )  # fmt: skip
        axes.axvline(0.5, color="black", lw=0.8, ls=":")
        axes.text(0.5, -0.75, "chance", fontsize=8, ha="center")
        axes.axhline(len(names) - 0.38, color="black", lw=0.6)
        axes.set_yticks([*range(len(names)), len(names) + 0.22], [*labels, "mean"])
        axes.set_ylim(len(names) + 0.8, -0.6)
        axes.set_xlim(min(0.4, axes.get_xlim()[0]), 1.005)
        axes.set_xlabel("AUC, with 95 % intervals" + ("   (* never trained on)" if outcome.trained_without else ""))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)


def _draw_calibration(outcome: Distillation, path: Path) -> None:
    with figure(path, "Does an alignment mean what it says?", width=5.2, height=4.8) as (axes,):
        axes.plot([0, 1], [0, 1], color="black", lw=0.8, ls=":")
        for place, (name, each) in enumerate(outcome.systems.items()):
            points = [
                (claimed, found, share)
                for claimed, found, share in zip(*each.reliability.values(), strict=True)
                if claimed is not None and found is not None and share is not None and share > 0.001
            ]
            claimed, found, shares = zip(*points, strict=True)
            label = f"{name} (error {each.calibration_error:.3f})"
            axes.plot(claimed, found, color=COLOURS[place], lw=1.5, label=label)
            axes.scatter(claimed, found, s=[20 + 300 * share for share in shares], color=COLOURS[place], alpha=0.6)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="alignment claimed", ylabel="relevant to the judge", aspect="equal")
        axes.legend(loc="upper left", frameon=False, fontsize=9)
        axes.text(0.98, 0.03, "the larger a dot, the more pairs", fontsize=8, ha="right")


def _draw_cost(outcome: Distillation, path: Path) -> None:
    measured = [cost for cost in outcome.costs if cost.milliseconds is not None]
    with figure(path, "Time to score 1,000 candidates", height=1.1 + 0.5 * len(measured)) as (axes,):
        times = [cost.milliseconds or 0.0 for cost in measured]
        bars = axes.barh(
            [cost.name for cost in measured], times, color=[COLOURS[0], COLOURS[2], COLOURS[1]], height=0.55
        )
        axes.bar_label(bars, [f"{milliseconds(each)} ms" for each in times], padding=4)
        axes.set_xscale("log")
        axes.set_xlim(min(times) / 3, max(times) * 6)
        axes.invert_yaxis()
        axes.set_xlabel("milliseconds, one core (logarithmic)")
