"""Every setting of the service, frozen, and the one place that reads the environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from ranker.errors import ConfigError
from ranker.plaintext import on_this_machine

PREFIX = "CTRLREC_"
OTHERS = "CTRLREC_LLM_"
"""Of the language model that judges; ranker/judges/llm/settings.py reads them."""
SECRET = {"kafka_password"}


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Set field `x` by the environment variable `CTRLREC_X`."""

    kafka_bootstrap: Annotated[str, Meta(min_length=1)] = "127.0.0.1:9092"
    """host:port of one or more brokers, separated by commas."""
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_user: str | None = None
    kafka_password: str | None = None
    kafka_ca: Path | None = None
    """PEM file of the authority that signed the broker's certificate; the system's own authorities without it."""
    kafka_plaintext_anywhere: bool = False
    """Allow an unencrypted connection to a broker that is not on this machine."""

    group: Annotated[str, Meta(min_length=1)] = "ctrlrec"
    """Consumer group, the same for all workers of a fleet."""
    topic_prefix: str = "feed."
    partitions: Annotated[int, Meta(ge=1)] = 4
    """Of every topic that `ctrlrec topics` creates. Requests, controls, candidates and rankings must agree on it."""
    replication: Annotated[int, Meta(ge=1)] = 1

    bundle: Path = Path("var/bundle")
    """One bundle, or a store of them (see `ctrlrec bundle`), whose active version workers follow."""
    weight: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """Of a request, where neither the list nor the control names a weight."""
    fusion: Literal["rank", "mixed", "score", "rrf"] = "rank"
    tower_threads: Annotated[int, Meta(ge=1)] = 1
    """Threads of one tower call; one is the cheapest per request, more shorten the wait."""
    embed_timeout: Annotated[float, Meta(gt=0)] = 2.0
    """Seconds that one tower call may take before the ranking is served without it, or the request is a dead letter."""
    embed_cache: Annotated[int, Meta(ge=1)] = 10_000
    """Distinct request texts whose vectors are kept."""
    late_items: Annotated[int, Meta(ge=0)] = 100_000
    """Items whose vector is not the bundle's, which every worker holds in memory. With so many there, an event of one more is
    a dead letter of class `too_large`."""

    run_length: Annotated[int, Meta(ge=1)] = 128
    """Records of one topic that are handled as one unit, at most."""
    runs_in_flight: Annotated[int, Meta(ge=1)] = 8
    """Runs whose outputs the broker has not yet confirmed, per topic."""
    fetch_wait: Annotated[float, Meta(gt=0, le=1)] = 0.003
    """Seconds that the broker may hold back an answer to wait for more records, while some come: the shorter, the sooner
    one is ranked, and the more it costs."""
    max_event_bytes: Annotated[int, Meta(ge=1024)] = 900_000
    """A larger event is a dead letter before it is parsed."""
    max_ranking_bytes: Annotated[int, Meta(ge=1024)] = 1_000_000
    """A list whose ranking would be larger is a dead letter; brokers must take so much (message.max.bytes)."""
    user_list_rate: Annotated[float, Meta(ge=0)] = 200.0
    """Candidate lists of one user (their records' key) a second, ten seconds' worth at once; what goes beyond is a dead
    letter of class `rate`. 0 for no limit."""
    user_request_rate: Annotated[float, Meta(ge=0)] = 5.0
    """The same of control requests, and of lists with a request that the tower has not read before."""
    session_timeout: Annotated[float, Meta(gt=0)] = 10.0
    rebalance_timeout: Annotated[float, Meta(gt=0)] = 12.0
    heartbeat_interval: Annotated[float, Meta(gt=0)] = 3.0
    commit_interval: Annotated[float, Meta(gt=0)] = 1.0
    stall_timeout: Annotated[float, Meta(gt=0)] = 60.0
    """Seconds that the event loop may stand still, or a run or a tower call go on beyond what it may take, before the
    worker ends with 70 for its supervisor to start another."""
    drain_timeout: Annotated[float, Meta(gt=0)] = 25.0
    """Seconds after SIGTERM in which what is in hand may be finished; what is not comes again elsewhere."""

    monitoring_host: str = "127.0.0.1"
    monitoring_port: Annotated[int, Meta(ge=0, le=65_535)] = 9_108
    """Of /metrics, /livez and /readyz; 0 for any free one."""

    canary_interval: Annotated[float, Meta(gt=0)] = 120.0
    """Seconds between two runs of the bundle's golden requests."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the variables that begin with CTRLREC_. Raises ConfigError naming the variable."""
        values: dict[str, object] = {}
        for variable, value in environment.items():
            if variable.startswith(PREFIX) and not variable.startswith(OTHERS):
                name = variable[len(PREFIX) :].lower()
                if name not in cls.__struct_fields__:
                    known = ", ".join(sorted(map(_variable, cls.__struct_fields__)))
                    raise ConfigError(f"{variable} is no setting; there are {known}")
                values[name] = value
        try:
            settings = msgspec.convert(values, cls, strict=False, dec_hook=_path)
        except msgspec.ValidationError as error:
            message, _, path = str(error).partition(" - at `$.")
            raise ConfigError(f"{_variable(path.rstrip('`'))}: {message}") from error
        settings.check()
        return settings

    def check(self) -> None:
        """Raise ConfigError for settings that do not go together."""
        if self.kafka_security.startswith("SASL") and not (self.kafka_user and self.kafka_password):
            raise ConfigError(
                f"CTRLREC_KAFKA_SECURITY={self.kafka_security} needs CTRLREC_KAFKA_USER and CTRLREC_KAFKA_PASSWORD"
            )
        for server in map(str.strip, self.kafka_bootstrap.split(",")):
            self.check_host((server.rpartition(":")[0] or server).strip("[]"), "CTRLREC_KAFKA_BOOTSTRAP names")

    def check_host(self, host: str, named: str) -> None:
        """Raise ConfigError where clients would send to `host` in the clear and may not; `named` begins its message."""
        if self.kafka_security.endswith("SSL") or self.kafka_plaintext_anywhere or on_this_machine(host):
            return
        raise ConfigError(
            f"{named} {host}, and {self.kafka_security} would send readers' texts there in the clear; set "
            "CTRLREC_KAFKA_SECURITY=SSL or SASL_SSL, or allow it with CTRLREC_KAFKA_PLAINTEXT_ANYWHERE=true"
        )

    def environment(self) -> dict[str, str]:
        """The variables from which `from_environment` reads these settings again, for another process."""
        values = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return {
            _variable(name): str(value).lower() if value in (True, False) else str(value)
            for name, value in values
            if value is not None
        }

    def topic(self, name: str) -> str:
        return self.topic_prefix + name

    def __repr__(self) -> str:
        shown = (f"{name}={'***' if name in SECRET else getattr(self, name)!r}" for name in self.__struct_fields__)
        return f"Settings({', '.join(shown)})"


def _path(kind: type, value: object) -> Path:
    """msgspec knows of no paths; the settings have no other type that it does not know."""
    return Path(str(value))


def _variable(field: str) -> str:
    return PREFIX + field.upper()
