"""How the commands come by a judge: progress on standard error, and a question before money is spent."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ranker.catalogue import Catalogue
from ranker.errors import ConfigError
from ranker.judges.embedding import EmbeddingJudge
from ranker.judges.llm import LlmJudge, LlmSettings
from ranker.judges.llm.estimate import Estimate
from ranker.judges.llm.store import AnswerStore
from ranker.judges.question import Question
from ranker.judges.teacher import embedding_judge
from ranker.plaintext import warn_of_plaintext


@contextmanager
def progress() -> Iterator[Progress]:
    """Bars on standard error."""
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        yield bars


def embedding(
    catalogue: Catalogue, teacher: Path, vectors: Path, bars: Progress, *, genres_by_words: bool = False
) -> EmbeddingJudge:
    """With a bar for the texts that its encoder has to read."""
    task = bars.add_task("reading texts", total=None, visible=False)

    def watch(done: int, of: int) -> None:
        bars.update(task, completed=done, total=of, visible=True)

    return embedding_judge(catalogue, teacher, vectors, genres_by_words=genres_by_words, watch=watch)


def language_model(
    catalogue: Catalogue,
    settings: LlmSettings,
    store: AnswerStore,
    questions: Sequence[Question],
    bars: Progress,
    *,
    yes: bool,
) -> LlmJudge:
    """Once it is known, and agreed to, what these questions will cost."""
    task = bars.add_task("asking", total=None, visible=False)
    model = LlmJudge(catalogue, settings, store, lambda count: bars.advance(task, count))
    estimate = model.estimate(questions)
    bars.stop()
    confirm(estimate, settings, yes=yes)
    bars.start()
    bars.update(task, total=estimate.items - estimate.cached, visible=True)
    return model


def confirm(estimate: Estimate, settings: LlmSettings, *, yes: bool) -> None:
    """Say what it will take; go on if told so. Raises ConfigError where nobody is there to be asked."""
    typer.echo(estimate.text(), err=True)
    if not estimate.calls:
        return
    warn_of_plaintext("readers' tastes and the key", [settings.url])
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to be asked whether to go on; --yes goes on without")
    typer.confirm("Go on?", abort=True, err=True)
