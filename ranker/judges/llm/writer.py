"""The language model as a writer: requests in many more ways of saying them than the phrasings that ship.

What a request means is drawn first, by the grammar, and the model only puts it into words: so a written request has a
meaning that every judge can score, not the model alone.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from ranker.judges.llm.card import Card, card
from ranker.judges.llm.chat import Chat
from ranker.judges.llm.estimate import Estimate, estimate
from ranker.judges.llm.form import Ask, ask, by_number
from ranker.judges.llm.interview import Watch, interview, prompts
from ranker.judges.llm.settings import LlmSettings
from ranker.judges.llm.store import AnswerStore
from ranker.requests import Request

LONGEST = 300
"""Characters of a request; readers write less."""
SHAPES = (
    "a plain order", "a question", "an aside about one's day", "a reason given first", "the topic before the verb",
    "a few keywords", "two sentences", "a polite wish", "a complaint", "slang", "a double negation", "a comparison",
)  # fmt: skip


class WriterForm:
    """`count` ways of saying each of several requests."""

    name = "requests"
    schema: dict[str, Any] = {  # noqa: RUF012 - never changed
        "type": "object",
        "properties": {
            "requests": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "item": {"type": "integer"},
                        "texts": {"type": "array", "items": {"type": "string"}},
                    },
                    "required": ["item", "texts"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["requests"],
        "additionalProperties": False,
    }

    def __init__(self, count: int) -> None:
        self._count = count
        self.answer_tokens = 10 + 18 * count
        self.system = (
            f"You write what readers of a feed might type to steer it. For each numbered request write {count} others that "
            "mean exactly the same: the same things wanted, the same things refused, the same and or or, the same years; "
            f"nothing added, nothing lost. Let no two have the same shape: use {', '.join(SHAPES)}, and others. At most "
            f"{LONGEST} characters each. Answer with JSON only: "
            '{"requests": [{"item": number, "texts": [text, ...]}, ...]}, each item exactly once.'
        )

    def content(self, subject: str, items: Sequence[str]) -> str:
        """The category, then the requests."""
        listed = [{"item": number, "request": item} for number, item in enumerate(items, start=1)]
        return json.dumps({"kind": subject, "items": listed}, ensure_ascii=False)

    def read(self, content: str, count: int) -> tuple[dict[int, Any], dict[int, str]]:
        """As many distinct texts as asked for; fewer, blank or endless ones are no answer."""
        answers, wrong = by_number(content, count, "texts")
        good: dict[int, Any] = {}
        for number, texts in answers.items():
            usable = _usable(texts)
            if len(usable) < self._count:
                wrong[number] = f"{len(usable)} usable texts of {self._count}"
            else:
                good[number] = usable[: self._count]
        return good, wrong


class LlmWriter:
    """Puts requests into other words, through the same cache as the judge."""

    def __init__(self, settings: LlmSettings, store: AnswerStore, count: int = 8, watch: Watch | None = None) -> None:
        """`count` texts for each request."""
        self._settings, self._store, self._watch = settings, store, watch or (lambda _: None)
        self._form = WriterForm(count)
        self._first_call = store.last_call()
        self._chat = Chat(settings)
        self.unwritten: dict[str, str] = {}
        """Why a request got no other words, by its text."""
        self._wanted = self._asked = 0

    def estimate(self, requests: Sequence[Request]) -> Estimate:
        """What writing these would take, the cache taken into account."""
        return estimate(self._form, self._asks(requests), self._settings, self._store)

    def write(self, requests: Sequence[Request]) -> list[list[Request]]:
        """For each request others that mean the same; none where no valid answer came. Raises JudgeError."""
        asks = self._asks(requests)
        needed = prompts(asks, self._store, self._settings.items_per_prompt)
        if needed:
            asyncio.run(self._interview(needed))
        answers = self._store.answers(item.key for item in asks)
        reasons = self._store.reasons(item.key for item in asks)
        self._wanted += len({item.key for item in asks})
        self._asked += sum(map(len, needed))
        self.unwritten |= {
            item.item: reasons[item.key] for item in asks if item.key in reasons and item.key not in answers
        }
        return [
            [Request(request.category, text, request.spec) for text in answers.get(item.key, ())]
            for request, item in zip(requests, asks, strict=True)
        ]

    def card(self) -> Card:
        """What this writer was asked and what it cost, since it was made."""
        calls = self._store.calls(since=self._first_call)
        named = [f"{text}: {reason}" for text, reason in self.unwritten.items()]
        return card(self._settings, calls, self._wanted, self._asked, named, self._chat.retries)

    async def _interview(self, needed: Sequence[list[Ask]]) -> None:
        async with self._chat as chat:
            await interview(self._form, needed, self._settings, chat, self._store, self._watch)

    def _asks(self, requests: Sequence[Request]) -> list[Ask]:
        settings = self._settings
        return [
            ask(self._form, settings.model, settings.temperature, request.category, request.text)
            for request in requests
        ]


def _usable(texts: object) -> list[str]:
    """Distinct, not blank, not too long, white space made single."""
    if not isinstance(texts, list):
        return []
    plain = (" ".join(text.split()) for text in texts if isinstance(text, str))
    return list(dict.fromkeys(text for text in plain if text and len(text) <= LONGEST))
