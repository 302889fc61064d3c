"""A kind of question for a language model: how it is put, and how the answer is read, item by item."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class Form(Protocol):
    """Several items are asked about in one prompt; each has an answer of its own, and may lack it."""

    @property
    def name(self) -> str: ...
    @property
    def system(self) -> str:
        """The same for every prompt, so that an endpoint can keep it."""
        ...

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the answer."""
        ...

    @property
    def answer_tokens(self) -> int:
        """About how many tokens the answer on one item takes."""
        ...

    def content(self, subject: str, items: Sequence[str]) -> str:
        """The prompt. `subject` is what all the items have in common; items are numbered from 1."""
        ...

    def read(self, content: str, count: int) -> tuple[dict[int, Any], dict[int, str]]:
        """(valid answers, what is wrong with others), by number from 0; items in neither are missing."""
        ...


class Ask(NamedTuple):
    """One item to be asked about. `key` names model, prompt and content: the same key never is paid for twice."""

    key: str
    subject: str
    item: str


def ask(form: Form, model: str, temperature: float | None, subject: str, item: str) -> Ask:
    """With the key worked out: sha256 over everything that the answer can depend on, save the other items of its prompt."""
    asked = [model, temperature, form.name, form.system, form.schema, subject, item]
    return Ask(hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest(), subject, item)


def entries(content: str) -> list[dict[str, Any]]:
    """The objects of the answer's only list, also of one that breaks off: what is whole was said, and has been paid for."""
    start = content.find("[")
    decoder, found, place = json.JSONDecoder(), [], start + 1
    while start >= 0 and (place := content.find("{", place)) >= 0:
        try:
            entry, place = decoder.raw_decode(content, place)
        except (json.JSONDecodeError, RecursionError):
            break
        found.append(entry)
    return [entry for entry in found if isinstance(entry, dict)]


def by_number(content: str, count: int, field: str) -> tuple[dict[int, Any], dict[int, str]]:
    """(the field of each entry by its `item`, from 0; what is wrong with the others). Two answers on one item are none."""
    answers: dict[int, Any] = {}
    wrong: dict[int, str] = {}
    for entry in entries(content):
        number = entry.get("item")
        if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= count:
            if number - 1 in answers and answers[number - 1] != entry.get(field):
                wrong[number - 1] = "answered twice, differently"
            answers[number - 1] = entry.get(field)
    return {number: answer for number, answer in answers.items() if number not in wrong}, wrong
