"""What a run with a language model came to: asked, answered, paid, and by name what has no answer."""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from ranker.judges.llm.settings import LlmSettings
from ranker.judges.llm.store import Call


class Card(msgspec.Struct, frozen=True):
    """Tokens as the endpoint counted them. `unanswered` names each item and why."""

    model: str
    items: int
    from_cache: int
    calls: int
    outcomes: dict[str, int]
    retries: dict[str, int]
    tokens_in: int
    tokens_out: int
    cost: float | None
    seconds_a_call: float
    unanswered: list[str]

    def markdown(self) -> str:
        """A few lines to be read."""
        money = "unknown, no prices set" if self.cost is None else f"{self.cost:.4f}"
        counted = f"{_counted(self.outcomes)}; retries: {_counted(self.retries)}"
        known = f"{self.from_cache:,} of them known from earlier"
        lines = [
            f"# What {self.model} was asked",
            "",
            f"- {self.items:,} items, {known}; {len(self.unanswered):,} without an answer",
            f"- {self.calls:,} calls, {self.seconds_a_call:.2f} s each: {counted}",
            f"- {self.tokens_in:,} tokens in, {self.tokens_out:,} out; cost {money}",
        ]
        if self.unanswered:
            lines += ["", "## Without an answer", ""] + [f"- {name}" for name in self.unanswered]
        return "\n".join(lines) + "\n"


def card(
    settings: LlmSettings,
    calls: Sequence[Call],
    items: int,
    asked: int,
    unanswered: Sequence[str],
    retries: Mapping[str, int],
) -> Card:
    """Of the calls of one run."""
    tokens_in, tokens_out = sum(call.tokens_in for call in calls), sum(call.tokens_out for call in calls)
    return Card(
        model=settings.model,
        items=items,
        from_cache=items - asked,
        calls=len(calls),
        outcomes=dict(Counter(call.outcome for call in calls)),
        retries=dict(retries),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cost=settings.cost(tokens_in, tokens_out),
        seconds_a_call=sum(call.seconds for call in calls) / max(len(calls), 1),
        unanswered=list(unanswered),
    )


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
