"""`ctrlrec compare-judges` and `ctrlrec write-requests`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ranker.judges.options import JudgeName, RetryUnanswered, TeacherDir, VectorsFile, Yes

app = typer.Typer()


@app.command()
def compare_judges(
    judges: Annotated[list[str], typer.Argument(help="Two or three of: rule, embedding, llm.")],
    data: Annotated[Path, typer.Option(help="Directory of the data set.")] = Path("var/data"),
    out: Annotated[Path, typer.Option(help="Where agreement.json and agreement.md go.")] = Path("var/agreement"),
    per_category: Annotated[int, typer.Option(min=1, help="Requests of each of the ten categories.")] = 30,
    items: Annotated[
        int, typer.Option(min=4, help="Items of each request, half of them drawn from those that fit.")
    ] = 40,
    split: Annotated[
        Literal["train", "dev", "usual", "heldout"],
        typer.Option(help="Phrasings; usual and heldout, unusual ones, are both held out."),
    ] = "heldout",
    seed: Annotated[int, typer.Option(help="Of the requests, users and items.")] = 0,
    teacher: TeacherDir = Path("var/teacher"),
    vectors: VectorsFile = Path("var/vectors.sqlite"),
    retry_unanswered: RetryUnanswered = False,
    yes: Yes = False,
) -> None:
    """Put the same requests and items to several judges, and report how far they agree.

    Spearman's correlation, the mean squared error and the AUC, by category. The embedding judge reads genres by their names
    here, not as the facts they are, or it would agree with the rule judge by design.

    A language model is asked where llm is among them: set CTRLREC_LLM_URL, CTRLREC_LLM_MODEL and CTRLREC_LLM_KEY.

    Example: ctrlrec compare-judges rule embedding --per-category 50
    """
    from contextlib import ExitStack

    import msgspec

    from ranker.data import load_dataset
    from ranker.errors import ConfigError
    from ranker.judges import Judge, RuleJudge
    from ranker.judges.agreement import compare, sample
    from ranker.judges.asking import embedding, language_model, progress
    from ranker.judges.llm import LlmJudge, LlmSettings
    from ranker.judges.llm.store import AnswerStore
    from ranker.requests import Grammar

    known: tuple[JudgeName, ...] = ("rule", "embedding", "llm")
    if len(set(judges)) < 2 or len(set(judges)) != len(judges) or not set(judges) <= set(known):
        raise ConfigError(f"name two or three of {', '.join(known)}, each once; not {' '.join(judges)}")
    settings = LlmSettings.from_environment() if "llm" in judges else None
    dataset = load_dataset(data)
    rule = RuleJudge(dataset.catalogue)
    questions = sample(dataset, Grammar(dataset.catalogue), rule, per_category, items, split, seed)
    with progress() as bars, ExitStack() as stack:
        made: dict[str, Judge] = {"rule": rule}
        if "embedding" in judges:
            made["embedding"] = embedding(dataset.catalogue, teacher, vectors, bars, genres_by_words=True)
        model: LlmJudge | None = None
        if settings is not None:
            store = AnswerStore(settings.cache)
            stack.callback(store.close)
            if retry_unanswered:
                store.forget_unanswered()
            made["llm"] = model = language_model(dataset.catalogue, settings, store, questions, bars, yes=yes)
        agreement = compare([made[name] for name in judges], questions, split, seed)
        asked = model.card().markdown() if model else None
    out.mkdir(parents=True, exist_ok=True)
    (out / "agreement.json").write_bytes(msgspec.json.format(msgspec.json.encode(agreement)) + b"\n")
    (out / "agreement.md").write_text(agreement.markdown(), encoding="utf-8")
    typer.echo(agreement.markdown())
    if asked is not None:
        (out / "asked.md").write_text(asked, encoding="utf-8")
        typer.echo(asked)


@app.command()
def write_requests(
    data: Annotated[Path, typer.Option(help="Directory of the data set.")] = Path("var/data"),
    out: Annotated[Path, typer.Option(help="Where the requests go, one a line, with what they mean.")] = Path(
        "var/requests.jsonl"
    ),
    per_category: Annotated[int, typer.Option(min=1, help="Meanings drawn in each of the ten categories.")] = 50,
    ways: Annotated[int, typer.Option(min=1, max=50, help="Ways of saying each of them.")] = 8,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    retry_unanswered: RetryUnanswered = False,
    yes: Yes = False,
) -> None:
    """Have a language model write requests in the ten categories, more diverse than the phrasings that ship.

    What a request means is drawn from the catalogue, and the model puts it into words; so every judge can score what it
    writes. Give the file to `ctrlrec synthesize --requests`. A run that breaks off goes on where it was, nothing is paid
    twice. Set CTRLREC_LLM_URL, CTRLREC_LLM_MODEL and CTRLREC_LLM_KEY.

    Example: CTRLREC_LLM_PRICE_IN=0.15 CTRLREC_LLM_PRICE_OUT=0.6 ctrlrec write-requests --per-category 200
    """
    from random import Random

    from ranker.data import load_dataset
    from ranker.judges.asking import confirm, progress
    from ranker.judges.llm import LlmSettings, LlmWriter
    from ranker.judges.llm.store import AnswerStore
    from ranker.requests import CATEGORIES, Grammar
    from ranker.requests.written import write_requests as write

    settings = LlmSettings.from_environment()
    store = AnswerStore(settings.cache)
    if retry_unanswered:
        store.forget_unanswered()
    grammar, random = Grammar(load_dataset(data).catalogue), Random(seed)
    drawn = [grammar.draw(category, "train", random) for category in CATEGORIES for _ in range(per_category)]
    requests = list({request.text: request for request in drawn}.values())
    estimate = LlmWriter(settings, store, ways).estimate(requests)
    confirm(estimate, settings, yes=yes)
    with progress() as bars:
        task = bars.add_task("writing", total=estimate.items - estimate.cached)
        writer = LlmWriter(settings, store, ways, lambda count: bars.advance(task, count))
        written = writer.write(requests)
    count = write(out, [request for others in written for request in others])
    typer.echo(f"{count:,} requests in {out}\n\n{writer.card().markdown()}")
    store.close()
