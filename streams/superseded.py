"""Dead letters that the world has moved on from: sent back, an old wish or an old text would replace a newer one."""

from collections.abc import Collection, Iterable, Sequence

from ranker.errors import BadEvent
from ranker.events import ControlRequest
from streams.letters import Letter
from streams.scan import scan
from streams.settings import Settings
from streams.wire import decode_control, decode_request

Places = set[tuple[int, int]]
"""Partition and offset of dead letters."""


def superseded(settings: Settings, letters: Sequence[Letter]) -> Places:
    """Those of `letters` that must not be sent back. Raises BrokerError."""
    requests = [letter for letter in letters if letter.topic == "requests"]
    items = [letter for letter in letters if letter.topic == "items"]
    return _old_requests(settings, requests) | _old_items(settings, items)


def _old_requests(settings: Settings, letters: list[Letter]) -> Places:
    """Requests made before the latest of their user's that can be found.

    What cannot be read as a request is not among them, and replaces nothing.
    """
    asked = [(letter, request) for letter in letters if (request := _request(letter.record.value))]
    if not asked:
        return set()
    latest: dict[str, float] = {}
    users = {request.user_id for _, request in asked}

    def seen(user_id: str, created_at: float) -> None:
        if user_id in users:
            latest[user_id] = max(created_at, latest.get(user_id, created_at))

    for _, request in asked:
        seen(request.user_id, request.created_at)
    for user_id, created_at in _controls(settings, users):
        seen(user_id, created_at)
    # Not only what the workers have not read yet: of what a user withdrew the controls say nothing after a while.
    for record in scan(settings, "requests", _starts(letter for letter, _ in asked)):
        if request := _request(record.value):
            seen(request.user_id, request.created_at)
    return {
        (letter.partition, letter.offset) for letter, request in asked if request.created_at < latest[request.user_id]
    }


def _request(value: bytes | None) -> ControlRequest | None:
    try:
        request: ControlRequest = decode_request(value)
    except BadEvent:
        return None
    return request


def _controls(settings: Settings, users: Collection[str]) -> list[tuple[str, float]]:
    """When the controls and withdrawals of these users were made."""
    from streams.controlrecords import withdrawn_at

    found = []
    for record in scan(settings, "controls"):
        user_id = (record.key or b"").decode(errors="replace")
        if user_id not in users:
            continue
        try:
            made = withdrawn_at(record) if record.value is None else decode_control(record.value).created_at
        except (BadEvent, ValueError):
            continue  # the workers pass it over, too
        found.append((user_id, made))
    return found


class ItemsSince:
    """Which items were published again, from some offset of each partition on."""

    def __init__(self, settings: Settings, letters: Iterable[Letter]) -> None:
        self._settings, self._starts = settings, _starts(letters)
        self._last: dict[tuple[int, bytes | None], int] = {}

    def look(self) -> None:
        """Read what has come by now. Raises BrokerError."""
        for record in scan(self._settings, "items", self._starts):
            self._last[record.partition, record.key] = record.offset
            self._starts[record.partition] = record.offset + 1

    def newer(self, letter: Letter) -> bool:
        """Whether there is a record of the same item that is later than what the letter came from."""
        return self._last.get((letter.source_partition, letter.record.key), -1) > letter.source_offset


def _old_items(settings: Settings, letters: list[Letter]) -> Places:
    """Items of which the topic holds a later record."""
    if not letters:
        return set()
    items = ItemsSince(settings, letters)
    items.look()
    return {(letter.partition, letter.offset) for letter in letters if items.newer(letter)}


def _starts(letters: Iterable[Letter]) -> dict[int, int]:
    """Partition → the offset behind the first record that any of these came from."""
    starts: dict[int, int] = {}
    for letter in letters:
        after = letter.source_offset + 1
        starts[letter.source_partition] = min(after, starts.get(letter.source_partition, after))
    return starts
