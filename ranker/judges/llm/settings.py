"""Where the language model is and how hard it may be asked; the one place that reads the CTRLREC_LLM_ variables."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from ranker.errors import ConfigError

PREFIX = "CTRLREC_LLM_"
Price = Annotated[float, Meta(ge=0)]


class LlmSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Set field `x` by the environment variable `CTRLREC_LLM_X`."""

    url: Annotated[str, Meta(pattern="^https?://")]
    """Of the API, without `/chat/completions`: https://api.example.com/v1. Readers' tastes and requests are sent there."""
    model: Annotated[str, Meta(min_length=1)]
    key: str = ""
    """Empty for an endpoint of your own that asks for none."""
    structured: Literal["json_schema", "json_object", "none"] = "json_schema"
    """What the endpoint can be held to; answers are checked whatever it is."""
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    """The endpoint's own where it is not set; some models accept no other."""

    items_per_prompt: Annotated[int, Meta(ge=1, le=200)] = 20
    concurrency: Annotated[int, Meta(ge=1, le=1000)] = 8
    """Calls under way at once."""
    requests_per_minute: Annotated[float, Meta(gt=0)] = 500.0
    """Retries count, too."""
    timeout: Annotated[float, Meta(gt=0)] = 60.0
    """Seconds to wait for one answer."""
    attempts: Annotated[int, Meta(ge=1)] = 6
    """Of one call that meets 429, 5xx, a timeout or a broken connection, before the run ends."""
    backoff: Annotated[float, Meta(ge=0)] = 1.0
    """Seconds before the second attempt; doubled for each further one, and never shorter than Retry-After says."""
    longest_wait: Annotated[float, Meta(gt=0)] = 600.0
    """An endpoint that asks for a longer pause ends the run, which can be taken up later."""

    price_in: Price | None = None
    """Of a million tokens read, in whatever currency; the estimate says `unknown` without the two prices."""
    price_out: Price | None = None
    """Of a million tokens written."""

    cache: Path = Path("var/llm.sqlite")
    """Every answer, as it arrives: nothing in it is asked for again."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "LlmSettings":
        """Read the variables that begin with CTRLREC_LLM_. Raises ConfigError naming the variable."""
        values: dict[str, object] = {}
        for variable, value in environment.items():
            if variable.startswith(PREFIX):
                name = variable[len(PREFIX) :].lower()
                if name not in cls.__struct_fields__:
                    known = ", ".join(PREFIX + field.upper() for field in sorted(cls.__struct_fields__))
                    raise ConfigError(f"{variable} is no setting; there are {known}")
                values[name] = value
        for name in ("url", "model"):
            if not values.get(name):
                raise ConfigError(
                    f"{PREFIX}{name.upper()} is not set; a language model needs {PREFIX}URL and {PREFIX}MODEL"
                )
        try:
            return msgspec.convert(values, cls, strict=False, dec_hook=lambda _, value: Path(str(value)))
        except msgspec.ValidationError as error:
            message, _, path = str(error).partition(" - at `$.")
            raise ConfigError(f"{PREFIX}{path.rstrip('`').upper()}: {message}") from error

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """What so many tokens cost; None where a price is not set."""
        if self.price_in is None or self.price_out is None:
            return None
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6

    def __repr__(self) -> str:
        return f"LlmSettings(url={self.url!r}, model={self.model!r}, key={'***' if self.key else ''!r})"
