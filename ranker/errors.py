"""Every error that ctrlrec raises on purpose, in one place.

A command prints the message of a `CtrlrecError` and exits with 2, without a traceback, so a message names what is wrong
and what to do about it. In the stream, a `BadEvent` becomes a dead letter. Anything else that is raised is a bug.
"""


class CtrlrecError(Exception):
    """The base of all of them: something outside the program is not as it must be."""


class ConfigError(CtrlrecError):
    """A setting or an option is missing or out of range. Not for what an event holds."""


class DataError(CtrlrecError):
    """A file of the user's (ratings, catalogue, log) cannot be read as documented. Not for bundles."""


class JudgeError(CtrlrecError):
    """An LLM endpoint cannot be reached, refuses the key or the model, or keeps failing. Not for single answers."""


class BundleError(CtrlrecError):
    """A bundle is damaged, incomplete or of a format that this version does not serve."""


class ParityError(CtrlrecError):
    """An export differs from its torch original by more than the stated bound."""


class BrokerError(CtrlrecError):
    """The broker cannot be reached, refuses the client, or lacks what was asked of it."""


class BadEvent(CtrlrecError):
    """One event cannot be processed, now or ever. `reason` is one of `REASONS`, the closed set used as a label."""

    REASONS = ("malformed", "schema", "too_large", "rate", "deadline", "model", "bug")

    def __init__(self, reason: str, message: str) -> None:
        assert reason in self.REASONS, reason
        super().__init__(message)
        self.reason = reason
