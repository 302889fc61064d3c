"""What a run would take, before it starts: calls, tokens, money and time."""

from collections.abc import Sequence

import msgspec

from ranker.judges.llm.form import Ask, Form
from ranker.judges.llm.interview import prompts
from ranker.judges.llm.settings import LlmSettings
from ranker.judges.llm.store import AnswerStore

CHARACTERS_A_TOKEN = 4.0
"""Of English, about; the card at the end has what the endpoint counted."""
OVERHEAD_IN, OVERHEAD_OUT = 12, 8
"""Tokens of a prompt and of an answer beyond their texts."""
SECONDS_A_CALL = 3.0
"""Until calls of this model were timed."""


class Estimate(msgspec.Struct, frozen=True):
    """`cost` is None where a price is not set; `timed` says whether calls of this model were timed before."""

    items: int
    cached: int
    calls: int
    tokens_in: int
    tokens_out: int
    cost: float | None
    seconds: float
    timed: bool

    def text(self) -> str:
        """One line to be asked with."""
        money = "unknown, no prices set (CTRLREC_LLM_PRICE_IN, _PRICE_OUT)" if self.cost is None else f"{self.cost:.2f}"
        how = "as timed before" if self.timed else f"at {SECONDS_A_CALL:.0f} s a call"
        return (
            f"{self.items - self.cached:,} items to ask for, {self.cached:,} known already: about {self.calls:,} calls, "
            f"{self.tokens_in:,} tokens in and {self.tokens_out:,} out; cost {money}; {_duration(self.seconds)} {how}"
        )


def estimate(form: Form, asked: Sequence[Ask], settings: LlmSettings, store: AnswerStore) -> Estimate:
    """For what is left of `asked` once the cache has been looked into."""
    needed = prompts(asked, store, settings.items_per_prompt)
    items, left = len({item.key for item in asked}), sum(map(len, needed))
    characters = sum(
        len(form.system) + len(form.content(prompt[0].subject, [item.item for item in prompt])) for prompt in needed
    )
    tokens_in = round(characters / CHARACTERS_A_TOKEN) + OVERHEAD_IN * len(needed)
    tokens_out = form.answer_tokens * left + OVERHEAD_OUT * len(needed)
    timed = store.seconds_a_call(settings.model)
    at_once = len(needed) * (timed or SECONDS_A_CALL) / min(settings.concurrency, max(len(needed), 1))
    paced = max(len(needed) - 1, 0) * 60 / settings.requests_per_minute
    cost = settings.cost(tokens_in, tokens_out)
    return Estimate(
        items, items - left, len(needed), tokens_in, tokens_out, cost, max(at_once, paced), timed is not None
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
