"""`ctrlrec evaluate`: the four experiments, each from a bundle and what it is measured on to a folder of figures."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(no_args_is_help=True)

BundleDir = Annotated[Path, typer.Option(help="The bundle to measure, by `ctrlrec export`.")]
DataDir = Annotated[Path, typer.Option(help="Directory of the data set that the bundle was made for.")]
BackboneDir = Annotated[Path, typer.Option(help="The untouched encoder, to show beside the towers.")]
OutDir = Annotated[Path, typer.Option(help="Where the JSON, the Markdown page and the plots go.")]
Seed = Annotated[int, typer.Option(help="Of the requests and users drawn, and of the intervals.")]


@app.callback()
def main() -> None:
    """Measure a bundle: what it learned, where it can take a feed, what steering costs, and what it knows of other things.

    Each experiment writes a JSON, a Markdown page and plots. Everything is measured on what training never saw, as the
    bundle's own record says: users held out and phrasings held out.

    Example: ctrlrec evaluate distillation --out var/evaluation
    """


@app.command()
def distillation(
    bundle: BundleDir = Path("var/bundle"),
    data: DataDir = Path("var/data"),
    out: OutDir = Path("var/evaluation"),
    backbone: BackboneDir = Path("var/backbone"),
    zero_shot: Annotated[
        bool, typer.Option(help="Measure the untouched encoder, too; most of the time goes there.")
    ] = True,
    requests: Annotated[int, typer.Option(min=1, help="Requests in each of the ten categories.")] = 50,
    users: Annotated[int, typer.Option(min=1, help="At most so many users ask them.")] = 200,
    token_price: Annotated[
        float | None, typer.Option(min=0, help="US $ of a million tokens of an LLM judge, to work out its cost.")
    ] = None,
    core_price: Annotated[float | None, typer.Option(min=0, help="US $ of a core for an hour, likewise.")] = None,
    seed: Seed = 7,
) -> None:
    """How well the towers reproduce the judge on phrasings, users, items and categories that they never saw.

    AUC, Spearman's ρ, mean squared error, nDCG@10 and calibration, mean and worst category, with 95 % intervals; beside them
    the untouched encoder, BM25, and how far each agrees with itself when the same is said otherwise; and what 1,000
    candidates cost. The request understood worst in each category is named.

    Towers trained without a category, or without some of the items, are measured on those apart from the others.

    Example: ctrlrec evaluate distillation --requests 100 --out var/evaluation
    """
    from rich.console import Console

    from ranker.experiments.distillation import Prices
    from ranker.experiments.distillation import distillation as run
    from ranker.experiments.distillation_report import terminal_table, write_report
    from ranker.experiments.subject import Subject

    with _progress() as watch:
        outcome = run(
            Subject.load(bundle, data),
            backbone if zero_shot else None,
            per_category=requests,
            users=users,
            seed=seed,
            prices=Prices(token_price, core_price),
            watch=watch,
        )
        write_report(outcome, out)
    console = Console()
    console.print(terminal_table(outcome))
    for category, text in outcome.worst_request.items():
        console.print(f"  {category}: {text}", highlight=False, markup=False)
    console.print(f"{out / 'distillation.md'}", highlight=False, soft_wrap=True)


@app.command()
def reachability(
    bundle: BundleDir = Path("var/bundle"),
    data: DataDir = Path("var/data"),
    out: OutDir = Path("var/evaluation"),
    users: Annotated[int, typer.Option(min=2, help="So many held-out users, or all there are, want to move.")] = 100,
    targets: Annotated[int, typer.Option(min=1, help="Targets of each kind that each is moved to.")] = 5,
    tries: Annotated[int, typer.Option(min=1, max=50, help="Tries with words, and with filters.")] = 8,
    weight: Annotated[float, typer.Option(min=0, max=1, help="The weight of the words.")] = 0.8,
    fusion: Annotated[
        Literal["rank", "mixed", "score", "rrf"], typer.Option(help="How words and the platform's order are fused.")
    ] = "rank",
    requests: Annotated[
        Path | None, typer.Option(help="Requests somebody else wrote, JSON lines of target and text, first try first.")
    ] = None,
    seed: Seed = 7,
) -> None:
    """Whether a user can move their feed to a target: another user's held-out taste, or a genre in a decade.

    The share of the gap that filters (genre and decade) and words close, with as many tries of each; how far words would
    reach if they were understood perfectly, and the best of all filters; where filters win.

    Requests are the grammar's, in usual phrasings held out, or an LLM's: {"target": "user 42", "text": "..."} a line, with the
    names of targets as the page has them ("user 42", "Comedy, 1990s").

    Example: ctrlrec evaluate reachability --users 40 --tries 5 --out var/evaluation
    """
    from rich.console import Console

    from ranker.experiments.reachability import reachability as run
    from ranker.experiments.reachability_report import terminal_table, write_report
    from ranker.experiments.subject import Subject
    from ranker.experiments.written import read_written

    written = None if requests is None else read_written(requests)
    with _progress() as watch:
        outcome = run(
            Subject.load(bundle, data),
            users=users,
            targets=targets,
            tries=tries,
            weight=weight,
            seed=seed,
            fusion=fusion,
            written=written,
            watch=watch,
        )
        write_report(outcome, out)
    console = Console()
    console.print(terminal_table(outcome))
    console.print(f"{out / 'reachability.md'}", highlight=False, soft_wrap=True)


@app.command()
def sensitivity(
    bundle: BundleDir = Path("var/bundle"),
    data: DataDir = Path("var/data"),
    out: OutDir = Path("var/evaluation"),
    users: Annotated[int, typer.Option(min=2, help="So many held-out users, or all there are.")] = 100,
    requests: Annotated[int, typer.Option(min=1, max=10, help="Requests of each of them.")] = 3,
    candidates: Annotated[int, typer.Option(min=10, help="Items that the platform offers to be ranked.")] = 500,
    steps: Annotated[int, typer.Option(min=2, max=100, help="Steps of the weight from 0 to 1.")] = 20,
    seed: Seed = 7,
) -> None:
    """What steering costs: engagement against adherence as the weight goes from 0 to 1, for each way of fusing.

    Engagement is how well feeds hold each user's latest ratings, which the recommender has not seen; adherence is how well
    they follow the request, by the rule judge. The page has the curves, their Pareto fronts, and the weight to take.

    Example: ctrlrec evaluate sensitivity --users 50 --out var/evaluation
    """
    from rich.console import Console

    from ranker.experiments.sensitivity import sensitivity as run
    from ranker.experiments.sensitivity_report import terminal_table, write_report
    from ranker.experiments.subject import Subject

    with _progress() as watch:
        outcome = run(
            Subject.load(bundle, data),
            users=users,
            requests=requests,
            candidates=candidates,
            steps=steps,
            seed=seed,
            watch=watch,
        )
        write_report(outcome, out)
    console = Console()
    console.print(terminal_table(outcome))
    console.print(f"{out / 'sensitivity.md'}", highlight=False, soft_wrap=True)


@app.command()
def unlike(
    bundle: BundleDir = Path("var/bundle"),
    out: OutDir = Path("var/evaluation"),
    backbone: BackboneDir = Path("var/backbone"),
    zero_shot: Annotated[bool, typer.Option(help="Measure the untouched encoder, too.")] = True,
    teacher: Annotated[
        Path, typer.Option(help="A stronger encoder, the embedding judge's; left out where none lies there.")
    ] = Path("var/teacher"),
    requests: Annotated[int, typer.Option(min=1, max=100, help="Wishes of each topic, and as many refusals.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the requests drawn, and of the intervals.")] = 7,
) -> None:
    """Whether words and catalogues are understood that the towers never saw: recipes, podcasts, courses, products, news.

    AUC within each domain of wishes for a topic and of refusals, mean and worst domain, with 95 % intervals over topics;
    beside the towers, which embed the items as a worker does with new ones, the untouched encoder and a stronger one. In usual
    phrasings held out and, the means alone, in unusual ones.

    The 400 items and their 40 topics come with ctrlrec: no data set is read.

    Example: ctrlrec evaluate unlike --requests 20 --out var/evaluation
    """
    from rich.console import Console

    from ranker.bundle import Bundle
    from ranker.experiments.unlike import unlike as run
    from ranker.experiments.unlike_report import terminal_table, write_report

    with _progress() as watch:
        outcome = run(
            Bundle.load(bundle),
            backbone if zero_shot else None,
            teacher,
            requests=requests,
            seed=seed,
            watch=watch,
        )
        write_report(outcome, out)
    console = Console()
    console.print(terminal_table(outcome))
    for note in outcome.notes:
        console.print(f"  left out: {note}", highlight=False, markup=False)
    console.print(f"{out / 'unlike.md'}", highlight=False, soft_wrap=True)


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """A bar for each stage, made when it is first told of."""
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    bars: dict[str, TaskID] = {}
    with Progress(TextColumn("{task.description:<20}"), BarColumn(), TimeElapsedColumn()) as progress:

        def watch(stage: str, done: float) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=1.0)
            progress.update(bars[stage], completed=done)

        yield watch
