"""Controls and withdrawals as records of their topic."""

from ranker.events import Control
from streams.transport import Record
from streams.wire import decode_control

CREATED_AT = "ctrlrec.created-at"


def read_control(record: Record) -> tuple[float, Control | None]:
    """When the control or the withdrawal was made, and the control."""
    if record.value is None:
        return withdrawn_at(record), None
    control = decode_control(record.value)
    return control.created_at, control


def record_key(record: Record) -> str:
    """The user or the item that it is about."""
    return record.key.decode(errors="replace") if record.key else ""


def withdrawal(created_at: float) -> tuple[tuple[str, bytes], ...]:
    """Headers of the record without a value that withdraws a control: a value could not say when it was made."""
    return ((CREATED_AT, repr(created_at).encode()),)


def withdrawn_at(record: Record) -> float:
    """When the withdrawal was made; when it was written, where its headers do not say."""
    return next((float(value) for name, value in record.headers if name == CREATED_AT), record.timestamp / 1000)
