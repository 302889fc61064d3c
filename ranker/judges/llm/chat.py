"""One call to a chat endpoint, in its own time: never more at once or a minute than allowed, patient with a busy endpoint."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from types import TracebackType
from typing import Any, NamedTuple

import openai
from openai.types.chat import ChatCompletion

from ranker.errors import JudgeError
from ranker.judges.llm.settings import LlmSettings

LONGEST_BACKOFF = 60.0


class Reply(NamedTuple):
    """What came back. `problem` says why the text may be of no use: a refusal, an answer that was cut off, none at all."""

    content: str
    problem: str | None
    tokens_in: int
    tokens_out: int
    seconds: float


class Pace:
    """Lets calls begin at even distances, and none before the time to which a busy endpoint put them off."""

    def __init__(self, per_minute: float) -> None:
        self._distance = 60 / per_minute
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next place; looks again after waiting, for all may have been put off meanwhile."""
        while (wait := self._next - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        self._next = time.monotonic() + self._distance

    def put_off(self, seconds: float) -> None:
        """No call begins for so long."""
        self._next = max(self._next, time.monotonic() + seconds)


class Chat:
    """An endpoint. Retries are made here and not by its client, so that they count in the pace."""

    def __init__(self, settings: LlmSettings) -> None:
        self._settings = settings
        self._pace = Pace(settings.requests_per_minute)
        self._jitter = random.Random()
        self.retries: Counter[str] = Counter()
        """How often a call had to be made again, by cause."""

    async def __aenter__(self) -> "Chat":
        settings = self._settings
        self._client = openai.AsyncOpenAI(
            base_url=settings.url, api_key=settings.key or "none", max_retries=0, timeout=settings.timeout
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def ask(self, system: str, content: str, form: str, schema: dict[str, Any], key: str) -> Reply:
        """The answer. Raises JudgeError where the endpoint refuses the call for good, or every attempt failed.

        `key` is sent as Idempotency-Key, the same for every attempt and every run: an endpoint that keeps to it bills
        once, also where its answer was lost on the way.
        """
        for attempt in range(self._settings.attempts):
            await self._pace.turn()
            started = time.monotonic()
            failure: Exception
            try:
                answer = await self._create(system, content, form, schema, key)
                if isinstance(answer, ChatCompletion) and answer.choices:
                    return _reply(answer, time.monotonic() - started)
                failure, wait, cause = ValueError("no completion came back"), 0.0, "body"
            except openai.APITimeoutError as error:
                failure, wait, cause = error, 0.0, "timeout"
            except openai.APIConnectionError as error:
                failure, wait, cause = error, 0.0, "connection"
            except openai.APIStatusError as error:
                cause = str(error.status_code)
                if not _may_pass(error):
                    raise JudgeError(f"{self._settings.url} answers {cause}: {_said(error)}") from error
                failure, wait = error, retry_after(error.response.headers)
            except json.JSONDecodeError as error:  # a status of 200, but half a body, or a page in place of an answer
                failure, wait, cause = error, 0.0, "body"
            if attempt + 1 < self._settings.attempts:
                self.retries[cause] += 1
                await self._wait(attempt, wait, cause)
        raise JudgeError(
            f"{self._settings.url}: {self._settings.attempts} attempts failed, the last with {cause} ({_said(failure)}); "
            "what was answered is kept, and running again goes on from there"
        ) from failure

    async def _wait(self, attempt: int, asked: float, cause: str) -> None:
        if asked > self._settings.longest_wait:
            raise JudgeError(
                f"{self._settings.url} asks to wait {asked:.0f} s, more than CTRLREC_LLM_LONGEST_WAIT; what was answered "
                "is kept, and running again goes on from there"
            )
        # Between half and all of it, so that calls which failed together do not come back together.
        backoff = min(self._settings.backoff * 2**attempt, LONGEST_BACKOFF) * self._jitter.uniform(0.5, 1)
        if cause == "429":
            self._pace.put_off(max(asked, backoff))  # it is the account that is over its limit, not this call
        else:
            await asyncio.sleep(max(asked, backoff))

    async def _create(self, system: str, content: str, form: str, schema: dict[str, Any], key: str) -> object:
        settings = self._settings
        options: dict[str, Any] = {}
        if settings.temperature is not None:
            options["temperature"] = settings.temperature
        if settings.structured == "json_schema":
            held = {"name": form, "strict": True, "schema": schema}
            options["response_format"] = {"type": "json_schema", "json_schema": held}
        elif settings.structured == "json_object":
            options["response_format"] = {"type": "json_object"}
        return await self._client.chat.completions.create(
            model=settings.model,
            messages=[{"role": "system", "content": system}, {"role": "user", "content": content}],
            extra_headers={"Idempotency-Key": key},
            **options,
        )


def _reply(answer: ChatCompletion, seconds: float) -> Reply:
    usage, choice = answer.usage, answer.choices[0]
    tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    problem = None
    if choice.message.refusal:
        problem = f"refused: {choice.message.refusal}"
    elif choice.finish_reason == "content_filter":
        problem = "refused: the endpoint's content filter"
    elif choice.finish_reason == "length":
        problem = "cut off"
    return Reply(choice.message.content or "", problem, *tokens, seconds)


def _may_pass(error: openai.APIStatusError) -> bool:
    """An empty account also answers 429, and stays empty."""
    return (error.status_code in (408, 409, 429) or error.status_code >= 500) and error.code != "insufficient_quota"


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that Retry-After asks for, given in seconds or as a date; 0 where it does not."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        pass
    else:
        return max(seconds, 0.0) if isfinite(seconds) else 0.0
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    when = when if when.tzinfo else when.replace(tzinfo=UTC)  # -0000: the time is UTC, the sender's zone unknown
    return max((when - datetime.now(UTC)).total_seconds(), 0.0)
