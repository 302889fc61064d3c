"""`ctrlrec synthesize` from options to files."""

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import typer

from ranker.data import Dataset, load_dataset
from ranker.errors import ConfigError
from ranker.judges import Judge, RuleJudge
from ranker.judges.asking import embedding, language_model, progress
from ranker.judges.llm import LlmSettings
from ranker.judges.llm.store import AnswerStore
from ranker.judges.options import JudgeName
from ranker.judges.question import CatalogueJudge
from ranker.requests import CATEGORIES, Grammar, Request
from ranker.requests.spec import Words
from ranker.requests.vocabulary import catalogue_words, read_words
from ranker.requests.written import read_requests
from ranker.synthesis.card import make_card, markdown, write_card
from ranker.synthesis.draw import Draws
from ranker.synthesis.plan import MANIFEST, Manifest, Plan, begin
from ranker.synthesis.write import synthesize


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """As on the command line."""

    data: Path
    out: Path
    judge: JudgeName
    triples: int
    seed: int
    hold_out: tuple[str, ...]
    words: Path | None
    requests: Path | None
    teacher: Path
    vectors: Path
    retry_unanswered: bool
    yes: bool


def run(options: Options) -> None:
    """Draw, judge, write, and say what came out. Raises CtrlrecErrors, all before anything is paid where it can be known."""
    unknown = set(options.hold_out) - set(CATEGORIES)
    if unknown:
        raise ConfigError(
            f"--hold-out {', '.join(sorted(unknown))}: no such category; there are {', '.join(CATEGORIES)}"
        )
    settings = LlmSettings.from_environment() if options.judge == "llm" else None
    dataset = load_dataset(options.data)
    words = _words(options, dataset)
    written = read_requests(options.requests) if options.requests else []
    if not words:
        _check_facts(written)
    plan = Plan(
        judge=f"llm:{settings.model}" if settings else options.judge,
        seed=options.seed,
        triples=options.triples,
        catalogue=dataset.catalogue.digest(),
        interactions=_interactions(dataset),
        words=_digest(words) if words else None,
        requests=hashlib.sha256(options.requests.read_bytes()).hexdigest() if options.requests else None,
        categories_held_out=tuple(category for category in CATEGORIES if category in options.hold_out),
    )
    begin(options.out, plan)
    with ExitStack() as stack:
        bars = stack.enter_context(progress())
        near: CatalogueJudge = RuleJudge(dataset.catalogue)
        if words:
            near = embedding(dataset.catalogue, options.teacher, options.vectors, bars)
        draws = Draws(plan, dataset, Grammar(dataset.catalogue, words), near, written)
        judge: Judge = near
        model = None
        if settings:
            store = AnswerStore(settings.cache)
            stack.callback(store.close)
            if options.retry_unanswered:
                store.forget_unanswered()
            questions = [drawn.question for group in range(plan.groups) for drawn in draws.group(group)]
            judge = model = language_model(dataset.catalogue, settings, store, questions, bars, yes=options.yes)
        task = bars.add_task("triples", total=plan.triples)
        synthesize(options.out, plan, draws, judge, dataset, lambda count: bars.advance(task, count))
        asked = model.card() if model else None
    manifest = msgspec.json.decode((options.out / MANIFEST).read_bytes(), type=Manifest)
    card = make_card(options.out, manifest)
    write_card(options.out, card)
    typer.echo(markdown(card).split("## Examples")[0].strip())
    if asked:
        (options.out / "asked.md").write_text(asked.markdown(), encoding="utf-8")
        typer.echo("\n" + asked.markdown())
    typer.echo(f"\n{card.triples:,} triples in {options.out}; the card is card.md")


def _words(options: Options, dataset: Dataset) -> list[str]:
    if options.words is not None:
        if options.judge == "rule":
            raise ConfigError("--words: the rule judge knows facts, not words; take --judge embedding or llm")
        return read_words(options.words)
    return catalogue_words(dataset.catalogue) if options.judge == "embedding" else []


def _check_facts(written: Sequence[Request]) -> None:
    for request in written:
        if any(isinstance(fact, Words) for fact in (*request.spec.wanted, *request.spec.refused)):
            raise ConfigError(
                f"--requests: the rule judge cannot judge {request.text!r}; take --judge embedding or llm"
            )


def _interactions(dataset: Dataset) -> str:
    made = dataset.interactions
    digest = hashlib.sha256("\n".join(made.user_ids).encode())
    for column in (made.user_rows, made.item_rows, made.ratings):
        digest.update(column.tobytes())
    return digest.hexdigest()


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
