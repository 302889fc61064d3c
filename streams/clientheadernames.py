"""Header names that are not UTF-8, for kafka-python: it takes a record that has one for damaged, and never gets past it."""

from typing import Any

from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch

from streams.headernames import OddNames


def accept_any_header_name() -> None:
    """From now on, for all of kafka-python's consumers in this process."""
    memory_records.DefaultRecordBatch = TolerantBatch


class TolerantBatch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python tells no types
    """A batch that spells out a name's odd bytes (`\\xff`), as workers do."""

    _buffer: Any

    def _read_msg(self, *arguments: Any) -> Any:
        try:
            return super()._read_msg(*arguments)
        except UnicodeDecodeError:  # it is still at the record's beginning
            self._buffer = OddNames(self._buffer)
            return super()._read_msg(*arguments)
