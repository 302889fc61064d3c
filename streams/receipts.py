"""Which dead letters were sent back already.

A consumer group could not say it: filters leave gaps, and a group remembers one offset a partition.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from streams.letters import Letter
from streams.scan import scan
from streams.settings import Settings

log = logging.getLogger(__name__)


class Receipt(Struct, frozen=True):
    """A record of feed.redriven: letters of the partition of the same number that are done with.

    Their times are kept beside their offsets: should the dead letters be deleted, others get the same offsets.
    """

    offsets: list[int]
    times: list[int]


encode, _decoder = msgspec.json.Encoder().encode, msgspec.json.Decoder(Receipt)


class Receipts:
    """All that were written so far."""

    def __init__(self, done: Mapping[int, Mapping[int, int]]) -> None:
        """`done`: partition → offset → time."""
        self._done = done

    @classmethod
    def of(cls, settings: Settings) -> "Receipts":
        """Read them. Raises BrokerError; that there is no such topic yet means that nothing was sent back."""
        done: dict[int, dict[int, int]] = defaultdict(dict)
        for record in scan(settings, "redriven", absent=True):
            try:
                receipt = _decoder.decode(record.value or b"")
            except msgspec.DecodeError as error:
                log.error("%s[%d]@%d is no receipt: %s", record.topic, record.partition, record.offset, error)
                continue
            done[record.partition].update(zip(receipt.offsets, receipt.times, strict=False))
        return cls(done)

    def __contains__(self, letter: Letter) -> bool:
        return self._done.get(letter.partition, {}).get(letter.offset) == letter.time


def receipts(letters: Iterable[Letter]) -> dict[int, bytes]:
    """Partition → the receipt to be written there."""
    places: dict[int, list[Letter]] = defaultdict(list)
    for letter in letters:
        places[letter.partition].append(letter)
    return {
        partition: encode(Receipt([letter.offset for letter in some], [letter.time for letter in some]))
        for partition, some in places.items()
    }
