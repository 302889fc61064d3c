"""The page and the plots of the sensitivity experiment."""

from pathlib import Path

from rich.table import Table

from ranker.experiments.report import COLOURS, figure, table, write
from ranker.experiments.sensitivity import PLAIN, Curve, Sensitivity

NAME = "sensitivity"
NAMES = {
    "rank": "rank interpolation",
    "mixed": "ranks with scores",
    "score": "score interpolation",
    "rrf": "reciprocal rank fusion",
}
PAGE = """# Sensitivity: what does steering cost?

Bundle `{bundle}`, {requests} requests of {users} users whom training never saw, in usual phrasings held out, {candidates}
candidates each; seed {seed}. Brackets are 95 % bootstrap intervals over users.

**Recommended weight: {weight:g}** for {default}, the default (in 95 % of the resamples between {low:g} and {high:g}).
Rule: on the Pareto front, the weight that is nearest to having both the most engagement and the most adherence that
the front offers, both scaled to 0..1 over it.

![Engagement against adherence](sensitivity-front.png)

## What came out

{summary}
*Fall*: the steepest fall of mean adherence from one weight to the next; none means that adherence rises with the
weight throughout.
*Below plain rank interpolation*: the most nDCG that it has at the same adherence and this way has not; 0 or less
means that this front lies nowhere below. {verdict}

![By weight](sensitivity-weights.png)

## How it is measured

- **Engagement.** The recommender is fitted to all ratings but each user's {held_out} latest; those are what a feed
  should hold. nDCG and recall of the first ten places, a rating counting as engagement whatever its stars.
- **Adherence.** A(L) = Σ w_j a_j / Σ w_j over the first ten places, w_j = 1 / log2(j + 1), with a_j as the **{judge}
  judge** scores the item, not the towers.
- Requests are drawn without a look at what was held out, so that little engagement can be won by following them; a
  reader who asks for what they then watch loses less.

## {default_title}, weight by weight

{weights}"""


def write_report(outcome: Sensitivity, folder: Path) -> None:
    """sensitivity.json, sensitivity.md and two plots in `folder`."""
    write(folder, NAME, outcome, page(outcome))
    _draw_front(outcome, folder / "sensitivity-front.png")
    _draw_weights(outcome, folder / "sensitivity-weights.png")


def page(outcome: Sensitivity) -> str:
    """The Markdown page."""
    default = outcome.curves[outcome.default]
    return PAGE.format(
        bundle=outcome.bundle, requests=outcome.requests, users=outcome.users, candidates=outcome.candidates,
        seed=outcome.seed, judge=outcome.judge, held_out=outcome.held_out, weight=default.recommended,
        default=named(outcome.default), default_title=named(outcome.default).capitalize(),
        low=default.recommended_between[0], high=default.recommended_between[1],
        summary=table(
            ["", "w recommended", "nDCG there", "recall there", "adherence there", "nDCG at w = 0", "adherence at w = 0 → 1",
             "fall", "below plain rank interpolation"],
            [_row(outcome, method, curve) for method, curve in outcome.curves.items()],
        ),
        verdict=verdict(outcome),
        weights=table(
            ["w", "nDCG@10", "recall@10", "adherence", "note"],
            [
                [f"{weight:g}", default.ndcg[place], default.recall[place], default.adherence[place], _note(default, weight)]
                for place, weight in enumerate(outcome.weights)
            ],
        ),
    )  # fmt: skip


def named(method: str) -> str:
    """In words."""
    return NAMES.get(method, method)


def verdict(outcome: Sensitivity) -> str:
    """Whether adherence rises with the weight, and whether the default's front holds."""
    default = outcome.curves[outcome.default]
    rises = "rises with the weight throughout" if default.monotone else "does not rise throughout"
    if outcome.default == PLAIN:
        front = "plain rank interpolation is the default, so its front cannot lie below itself"
    elif default.below_plain.value <= 0:
        front = "the default's front lies nowhere below plain rank interpolation's"
    else:
        front = "the default's front lies below plain rank interpolation's at some adherence"
    return f"Under the default, adherence {rises}; {front}."


def terminal_table(outcome: Sensitivity) -> Table:
    """One line a way of fusing, for the terminal."""
    shown = Table(title=f"engagement and adherence at the weight recommended, {outcome.requests} requests")
    for name in ("", "w", "nDCG@10", "adherence", "rises with w"):
        shown.add_column(name, justify="right" if name else "left")
    for method, curve in outcome.curves.items():
        place = outcome.weights.index(curve.recommended)
        name = named(method) + (" (default)" if method == outcome.default else "")
        figures = (curve.ndcg[place], curve.adherence[place])
        shown.add_row(name, f"{curve.recommended:g}", *map(str, figures), "yes" if curve.monotone else "no")
    return shown


def _row(outcome: Sensitivity, method: str, curve: Curve) -> list[object]:
    place = outcome.weights.index(curve.recommended)
    return [
        named(method), f"{curve.recommended:g}", curve.ndcg[place], curve.recall[place], curve.adherence[place],
        curve.ndcg[0], f"{curve.adherence[0].value:.3f} → {curve.adherence[-1].value:.3f}",
        "none" if curve.monotone else curve.largest_fall, "–" if method == PLAIN else curve.below_plain,
    ]  # fmt: skip


def _note(curve: Curve, weight: float) -> str:
    notes = ["recommended"] if weight == curve.recommended else []
    return ", ".join([*notes, *([] if weight in curve.front else ["not on the front"])])


def _draw_front(outcome: Sensitivity, path: Path) -> None:
    with figure(path, "What steering costs", width=7, height=5) as (axes,):
        for place, (method, curve) in enumerate(outcome.curves.items()):
            adherence, engagement = [each.value for each in curve.adherence], [each.value for each in curve.ndcg]
            axes.plot(adherence, engagement, "-", color=COLOURS[place], lw=1, alpha=0.5)
            on_front = [outcome.weights.index(weight) for weight in curve.front]
            axes.plot(
                [adherence[at] for at in on_front], [engagement[at] for at in on_front], "os^Dv"[place % 5], ms=5,
                color=COLOURS[place], label=named(method),
            )  # fmt: skip
        default = outcome.curves[outcome.default]
        for weight in sorted({0.0, default.recommended, 1.0}):
            at = outcome.weights.index(weight)
            point = (default.adherence[at].value, default.ndcg[at].value)
            chosen = weight == default.recommended
            axes.annotate(
                f"w = {weight:g}" + (", recommended" if chosen else ""), point, xytext=(-10, -12), ha="right",
                textcoords="offset points", fontsize=9, fontweight="bold" if chosen else "normal",
            )  # fmt: skip
            if chosen:
                axes.plot(*point, "o", ms=14, mfc="none", mec="black")
        axes.margins(0.14)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"adherence of the first ten, by the {outcome.judge} judge →")
        axes.set_ylabel("engagement: nDCG@10 of held-out ratings →")
        axes.legend(loc="lower left", frameon=False, title="dots: on the Pareto front")


def _draw_weights(outcome: Sensitivity, path: Path) -> None:
    with figure(path, "From the platform's order (w = 0) to the request's (w = 1)", 2, width=9.5, height=4) as axes:
        for each, name, label in zip(axes, ("adherence", "ndcg"), ("adherence", "engagement: nDCG@10"), strict=True):
            for place, (method, curve) in enumerate(outcome.curves.items()):
                estimates = getattr(curve, name)
                each.plot(
                    outcome.weights, [one.value for one in estimates], color=COLOURS[place], lw=2, label=named(method)
                )
                if method == outcome.default:
                    low, high = [one.low for one in estimates], [one.high for one in estimates]
                    each.fill_between(outcome.weights, low, high, color=COLOURS[place], alpha=0.15, lw=0)
            each.axvline(outcome.curves[outcome.default].recommended, color="black", lw=0.8, ls=":")
            each.set_xlabel("w (dotted: recommended)")
            each.set_title(label, fontsize=10)
            each.set_ylim(bottom=0)
        axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
