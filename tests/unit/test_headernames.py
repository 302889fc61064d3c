"""What aiokafka cannot read, beside what it can."""

from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from kafka.errors import CorruptRecordError

from streams.clientheadernames import TolerantBatch
from streams.headernames import TolerantRecords

NAMES = ["fine", "ünï", "", "NOT UTF-8", "last"]
NONE, GZIP = 0, 1


def fetched(names: list[str], compression: int, base: int) -> bytes:
    """A batch with a record for each name."""
    builder = DefaultRecordBatchBuilder(2, compression, 0, -1, -1, -1, 1 << 20)
    for offset, name in enumerate(names):
        builder.append(offset, 1000 + offset, b"k%d" % offset, b"v" * offset, [(name, b"1"), ("trace", None)])
    batch = bytearray(builder.build())
    batch[:8] = base.to_bytes(8, "big")
    return bytes(batch)


def read(records: Any) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    while records.has_next():
        batch = records.next_batch()
        assert batch.validate_crc()
        found += [(each.offset, each.timestamp, each.key, each.value, list(each.headers)) for each in batch]
        assert batch.next_offset == found[-1][0] + 1
    return found


def spoiled(whole: bytes) -> bytes:
    """With a name that no client writes on purpose, and the checksum that goes with it."""
    changed = bytearray(whole.replace(b"NOT UTF-8", b"NOT \xff\xfe\x80-8"))
    changed[17:21] = calc_crc32c(bytes(changed[21:])).to_bytes(4, "big")
    return bytes(changed)


@pytest.mark.parametrize("compression", [NONE, GZIP])
def test_what_can_be_read_is_read_alike(compression: int) -> None:
    whole = fetched(NAMES, compression, 0) + fetched(NAMES[:2], NONE, 5)
    assert read(TolerantRecords(whole)) == read(MemoryRecords(whole))
    assert TolerantRecords(whole[:-1]).size_in_bytes() == MemoryRecords(whole[:-1]).size_in_bytes()


def test_an_odd_name_is_spelled_out_and_nothing_behind_it_is_lost() -> None:
    whole = fetched(NAMES, NONE, 0)
    behind = fetched(NAMES[:2], GZIP, 5)
    with pytest.raises(UnicodeDecodeError):
        read(MemoryRecords(spoiled(whole)))
    expected = read(MemoryRecords(whole + behind))
    expected[3][4][0] = (r"NOT \xff\xfe\x80-8", b"1")
    assert read(TolerantRecords(spoiled(whole) + behind)) == expected


@pytest.mark.parametrize("compression", [NONE, GZIP])
def test_kafka_python_reads_what_aiokafka_reads(compression: int) -> None:
    whole = fetched(NAMES, compression, 7)
    batches = [whole] if compression else [whole, spoiled(whole)]
    for each in batches:
        mine = [(record.offset, record.key, record.value, list(record.headers)) for record in TolerantBatch(each)]
        assert mine == [(offset, *rest) for offset, _, *rest in read(TolerantRecords(each))]


def test_a_damaged_batch_is_damaged_still() -> None:
    whole = spoiled(fetched(NAMES, NONE, 0))
    with pytest.raises(CorruptRecordError):
        list(TolerantBatch(whole.replace(b"v" * 4, b"v" * 3)))
