"""`ctrlrec synthesize`."""

from pathlib import Path
from typing import Annotated

import typer

from ranker.judges.options import JudgeName, RetryUnanswered, TeacherDir, VectorsFile, Yes

app = typer.Typer()


@app.command()
def synthesize(
    data: Annotated[Path, typer.Option(help="Directory of the data set.")] = Path("var/data"),
    out: Annotated[Path, typer.Option(help="Where the Parquet files, manifest.json and the data card go.")] = Path(
        "var/triples"
    ),
    judge: Annotated[JudgeName, typer.Option(help="Who scores.")] = "rule",
    triples: Annotated[int, typer.Option(min=1, help="At least so many.")] = 200_000,
    seed: Annotated[int, typer.Option(help="Of all that is drawn, and of the splits.")] = 0,
    hold_out: Annotated[
        list[str] | None, typer.Option(help="A category to mark as held out; can be given several times.")
    ] = None,
    words: Annotated[
        Path | None,
        typer.Option(help="Topics of an open vocabulary, one a line; by default the catalogue's own words."),
    ] = None,
    requests: Annotated[
        Path | None, typer.Option(help="What `ctrlrec write-requests` wrote: half of the requests come from there.")
    ] = None,
    teacher: TeacherDir = Path("var/teacher"),
    vectors: VectorsFile = Path("var/vectors.sqlite"),
    retry_unanswered: RetryUnanswered = False,
    yes: Yes = False,
) -> None:
    """Make training data: what a judge says of (user, request, item) triples, as Parquet.

    Each request is asked about as many items that fit as hard negatives, which are near what it talks about, and a few at
    random. Columns say on which side of the splits by phrasing, item, user and category a triple lies. The same options and
    seed give the same bytes; a run that was killed goes on where it was.

    --judge rule decides from catalogue facts; embedding also understands topics in any words, and half the topics are then
    such; llm asks a language model (CTRLREC_LLM_URL, CTRLREC_LLM_MODEL, CTRLREC_LLM_KEY), says what it will cost, and
    pays for nothing twice.

    Examples:

      ctrlrec synthesize --triples 200000 --hold-out blend

      ctrlrec synthesize --judge embedding --out var/open
    """
    from ranker.synthesis.run import Options, run

    run(
        Options(
            data=data,
            out=out,
            judge=judge,
            triples=triples,
            seed=seed,
            hold_out=tuple(hold_out or ()),
            words=words,
            requests=requests,
            teacher=teacher,
            vectors=vectors,
            retry_unanswered=retry_unanswered,
            yes=yes,
        )
    )
