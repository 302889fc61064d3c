"""What it takes to score 1,000 candidates for one request: towers and judges, in the same process, one after the other."""

import time
from collections.abc import Callable, Sequence
from statistics import median

import msgspec
import numpy as np
from tokenizers import Tokenizer

from ranker.bundle import TOKENIZER
from ranker.experiments.subject import Subject
from ranker.judges.rule import RuleJudge
from ranker.requests import Spec
from ranker.vectors import quantize_request

CANDIDATES = 1000
TIMED = 50
PROMPT_TOKENS = 300
"""A prompt's instructions and the request, and the answer's frame; once for every 20 items."""
ITEMS_A_PROMPT, ANSWER_TOKENS = 20, 8
"""Items that an LLM judges at a time, and tokens that it answers for each."""


class Cost(msgspec.Struct, frozen=True):
    """Of one way of scoring 1,000 candidates for a new request."""

    name: str
    milliseconds: float | None
    """Median, one core; None where it was not measured."""
    tokens: int | None
    dollars: float | None
    """By the prices that were told."""
    note: str


def costs(
    subject: Subject, texts: Sequence[str], specs: Sequence[Spec], token_price: float | None, core_price: float | None
) -> list[Cost]:
    """Timed over at most 50 requests; tokens of an LLM judge are counted, not asked for."""
    tower, items = subject.bundle.request_tower, subject.bundle.items
    candidates = np.resize(subject.rows, CANDIDATES)
    scale = CANDIDATES / len(subject.rows)

    def served(text: str) -> None:
        items.scores(candidates, quantize_request(tower.embed(text)).floats())

    plain = [spec for spec in specs if not spec.about_user][:TIMED]
    # A new judge each time: what it remembers of single facts is not to be had for a new one.
    judged = [_milliseconds(RuleJudge(subject.dataset.catalogue).scores, spec) * scale for spec in plain]
    embedded = [
        _milliseconds(subject.bundle.item_tower.embed, text) for text in subject.dataset.catalogue.texts()[:TIMED]
    ]
    tokens = _llm_tokens(subject)
    towers = median(_milliseconds(served, text) for text in texts[:TIMED])
    return [
        _timed("towers", towers, core_price, "one call of the request tower, then dot products"),
        _timed("item tower, once", median(embedded) * CANDIDATES, core_price, "ahead of time, for all requests to come"),
        _timed("rule judge", median(judged) if judged else None, core_price, "knows what was meant; reads no words"),
        Cost(
            "LLM judge", None, tokens, None if token_price is None else tokens * token_price / 1e6,
            f"{ITEMS_A_PROMPT} items a prompt; tokens counted with the towers' tokenizer, latency not measured here",
        ),
    ]  # fmt: skip


def _timed(name: str, milliseconds: float | None, core_price: float | None, note: str) -> Cost:
    known = milliseconds is not None and core_price is not None
    dollars = milliseconds / 3.6e6 * core_price if known else None  # type: ignore[operator]
    return Cost(name, milliseconds, None, dollars, note)


def _milliseconds(call: Callable[..., object], argument: object) -> float:
    started = time.perf_counter()
    call(argument)
    return (time.perf_counter() - started) * 1e3


def _llm_tokens(subject: Subject) -> int:
    tokenizer = Tokenizer.from_file(str(subject.bundle.folder / TOKENIZER))
    texts = subject.dataset.catalogue.texts()
    an_item = float(np.mean([len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]))
    return round(CANDIDATES * (an_item + ANSWER_TOKENS) + CANDIDATES / ITEMS_A_PROMPT * PROMPT_TOKENS)
