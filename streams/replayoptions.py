"""What `ctrlrec replay` is told, as it is meant. Each raises ConfigError."""

from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ranker.errors import ConfigError

if TYPE_CHECKING:
    from ranker.fusion import Method
    from streams.settings import Settings

FUSIONS = ("rank", "mixed", "score", "rrf")
MOST_ETA = 10.0
SLOWEST, FASTEST = 0.01, 10_000.0


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def bundles(text: str | None, settings: "Settings") -> list[Path]:
    """Of --bundle, or the settings' own."""
    if text is None:
        return [settings.bundle]
    if not _parts(text):
        raise ConfigError(f"--bundle {text!r} names none")
    return [Path(part) for part in _parts(text)]


def weights(text: str | None) -> list[float]:
    """Of --weight; none: those of the log."""
    if text is not None and not _parts(text):
        raise ConfigError(f"--weight {text!r} names none; leave it out for those of the log")
    found = []
    for part in _parts(text or ""):
        try:
            found.append(float(part))
        except ValueError:
            raise ConfigError(f"--weight {part}: not a number") from None
        if not 0 <= found[-1] <= 1:
            raise ConfigError(f"--weight {part}: not in 0 to 1")
    return found


def steepness(eta: float) -> float:
    """Of --eta."""
    if not 0 <= eta <= MOST_ETA:  # nor is nan
        raise ConfigError(f"--eta {eta:g}: not in 0 to {MOST_ETA:g}")
    return eta


def pace(speed: float) -> float:
    """Of --speed; infinity for at once."""
    if speed != 0 and not SLOWEST <= speed <= FASTEST:
        raise ConfigError(f"--speed {speed:g}: neither 0, as fast as it goes, nor in {SLOWEST:g} to {FASTEST:g}")
    return speed or inf


def fusions(text: str) -> "list[Method]":
    """Of --fusion, or the settings' own."""
    for part in _parts(text):
        if part not in FUSIONS:
            raise ConfigError(f"--fusion {part}: there are {', '.join(FUSIONS)}")
    if not _parts(text):
        raise ConfigError(f"--fusion {text!r} names none; there are {', '.join(FUSIONS)}")
    return cast("list[Method]", _parts(text))


def said(since: str | None, until: str | None) -> tuple[str, ...]:
    """The options in the user's words."""
    given = ("--since", since), ("--until", until)
    return tuple(f"{option} {text}" for option, text in given if text is not None)


def moment(option: str, text: str | None) -> float | None:
    """Seconds since the epoch."""
    from streams.lettercommands import _milliseconds

    milliseconds = _milliseconds(option, text)
    return None if milliseconds is None else milliseconds / 1000
