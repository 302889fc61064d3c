"""Asks for what is not known yet: several items a prompt, again for those that got no valid answer, in the end one by one."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence

from ranker.errors import CtrlrecError
from ranker.judges.llm.chat import Chat, Reply
from ranker.judges.llm.form import Ask, Form
from ranker.judges.llm.settings import LlmSettings
from ranker.judges.llm.store import AnswerStore, Call, Unanswered

Watch = Callable[[int], None]
"""Sees how many more items are settled: answered or given up."""
TOGETHER, ALONE = 2, 2
"""How often an item is asked for with others, and how often alone, before it is given up."""


def prompts(asked: Sequence[Ask], store: AnswerStore, size: int) -> list[list[Ask]]:
    """What has to be asked for: each item once that was neither answered nor given up, up to `size` of one subject a prompt.

    What is known is taken out of the prompts after they are made up, so that a run taken up again asks in the same prompts
    as the run that was killed, and an answer that was on its way then is not asked for in another call.
    """
    keys = [item.key for item in asked]
    alone = store.singled_out(keys)
    known = store.answers(keys).keys() | store.reasons(keys).keys()
    by_subject: dict[str, dict[str, Ask]] = {}
    for item in asked:
        by_subject.setdefault(item.subject, {})[item.key] = item
    found: list[list[Ask]] = []
    for items in map(list, map(dict.values, by_subject.values())):
        parts = (items[start : start + size] for start in range(0, len(items), size))
        for part in parts:
            missing = [item for item in part if item.key not in known]
            found.append([item for item in missing if item.key not in alone])
            found += [[item] for item in missing if item.key in alone]
    return [prompt for prompt in found if prompt]


async def interview(
    form: Form, prompts: Sequence[list[Ask]], settings: LlmSettings, chat: Chat, store: AnswerStore, watch: Watch
) -> None:
    """Settle every item of the prompts, and store each answer as it arrives.

    Raises JudgeError where the endpoint fails for good; the calls under way are waited for, since they are paid for.
    """
    waiting = iter(prompts)
    failed = False

    async def work() -> None:
        nonlocal failed
        while not failed and (prompt := next(waiting, None)) is not None:
            try:
                await _settle(form, prompt, settings.model, chat, store, watch)
            except CtrlrecError:
                failed = True
                raise

    done = await asyncio.gather(*(work() for _ in range(settings.concurrency)), return_exceptions=True)
    for outcome in done:
        if isinstance(outcome, BaseException):
            raise outcome


async def _settle(form: Form, prompt: list[Ask], model: str, chat: Chat, store: AnswerStore, watch: Watch) -> None:
    """Ask for the items of one prompt until each is answered, or was not even when asked for alone."""
    rest, reasons = prompt, dict.fromkeys((item.key for item in prompt), "missing from the answer")
    for size in _rounds(len(prompt)):
        if size < len(rest):
            store.single_out(item.key for item in rest)
        missing: list[Ask] = []
        for start in range(0, len(rest), size):
            part = rest[start : start + size]
            content = form.content(part[0].subject, [item.item for item in part])
            asked, key = _call_key(part, store)
            reply = await chat.ask(form.system, content, form.name, form.schema, key)
            answered, wrong = form.read(reply.content, len(part))
            outcome = _outcome(reply, len(answered), len(part))
            call = Call(asked, model, reply.tokens_in, reply.tokens_out, reply.seconds, outcome)
            store.record(call, {part[place].key: answer for place, answer in answered.items()})
            watch(len(answered))
            for place, item in enumerate(part):
                if place not in answered:
                    missing.append(item)
                    reasons[item.key] = wrong.get(place) or reply.problem or "missing from the answer"
        if not (rest := missing):
            return
    store.give_up([Unanswered(item.key, item.subject, item.item, reasons[item.key]) for item in rest])
    watch(len(rest))


def _rounds(count: int) -> Iterator[int]:
    """Items a prompt, attempt by attempt. One item is alone from the start."""
    if count > 1:
        yield from (count for _ in range(TOGETHER))
    yield from (1 for _ in range(ALONE))


def _outcome(reply: Reply, answered: int, asked: int) -> str:
    if reply.problem is not None:
        return reply.problem.split(":")[0]
    return "ok" if answered == asked else "incomplete" if answered else "malformed"


def _call_key(part: Sequence[Ask], store: AnswerStore) -> tuple[str, str]:
    """(hash of the items, hash of the call). A call whose answer was lost has the same hash when it is made again, in this
    run or a later one; asking once more after a bad answer has another."""
    asked = hashlib.sha256("".join(item.key for item in part).encode()).hexdigest()
    return asked, hashlib.sha256(f"{asked} {store.times_asked(asked)}".encode()).hexdigest()
