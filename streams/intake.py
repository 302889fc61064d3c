"""What is refused before it is read, and the dead letter of whatever cannot be processed."""

import logging

from monitoring.metrics import Metrics
from ranker.errors import BadEvent
from streams.budgets import Budgets
from streams.deadletters import dead_letter
from streams.outbox import Output
from streams.settings import Settings
from streams.transport import Record, size_of

log = logging.getLogger(__name__)


class Intake:
    """Gives the values of records that are within the limits. Raises BadEvent(rate) or BadEvent(too_large)."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._most, self._metrics, self._dead_letters = (
            settings.max_event_bytes,
            metrics,
            settings.topic("dead-letters"),
        )
        self._lists = Budgets(settings.user_list_rate, "CTRLREC_USER_LIST_RATE")
        self._requests = Budgets(settings.user_request_rate, "CTRLREC_USER_REQUEST_RATE")
        self._one_shots = Budgets(settings.user_request_rate, "CTRLREC_USER_REQUEST_RATE")

    def lists(self, record: Record) -> bytes | None:
        """Within its user's budget of lists."""
        self._lists.take(record)
        return self.items(record)

    def requests(self, record: Record) -> bytes | None:
        """Within its user's budget of requests."""
        self._requests.take(record)
        return self.items(record)

    def has_request_left(self, record: Record) -> bool:
        """Whether the tower may read a list's own request: there is a budget of those, as large as of control requests."""
        try:
            self._one_shots.take(record)
        except BadEvent:
            return False
        return True

    def items(self, record: Record) -> bytes | None:
        """Small enough. Its key and headers count too: they may be sent on."""
        if (size := size_of(record)) > self._most:
            raise BadEvent("too_large", f"{size} bytes; at most {self._most} are read")
        return record.value

    def dead(self, record: Record, error: Exception, bundle: str) -> Output:
        """What to send in place of an answer. Anything but a BadEvent is a bug, and logged."""
        if not isinstance(error, BadEvent):
            where = f"{record.topic}[{record.partition}]@{record.offset}"
            log.error("%s met a bug and becomes a dead letter", where, exc_info=error)
            error = BadEvent("bug", type(error).__name__)
        self._metrics.dead_letter(error.reason)
        return dead_letter(self._dead_letters, record, error, bundle)
