"""`ctrlrec evaluate`: the three experiments, each from a bundle and a data set to a folder of figures."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)

BundleDir = Annotated[Path, typer.Option(help="The bundle to measure, by `ctrlrec export`.")]
DataDir = Annotated[Path, typer.Option(help="Directory of the data set that the bundle was made for.")]
OutDir = Annotated[Path, typer.Option(help="Where the JSON, the Markdown page and the plots go.")]
Seed = Annotated[int, typer.Option(help="Of the requests and users drawn, and of the intervals.")]


@app.callback()
def main() -> None:
    """Measure a bundle: what it learned, where it can take a feed, and what steering costs.

    Each experiment writes a JSON, a Markdown page and plots. Everything is measured on what training never saw, as the
    bundle's own record says: users held out and phrasings held out.

    Example: ctrlrec evaluate distillation --out var/evaluation
    """


@app.command()
def distillation(
    bundle: BundleDir = Path("var/bundle"),
    data: DataDir = Path("var/data"),
    out: OutDir = Path("var/evaluation"),
    backbone: Annotated[Path, typer.Option(help="The untouched encoder, to show beside the towers.")] = Path(
        "var/backbone"
    ),
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
