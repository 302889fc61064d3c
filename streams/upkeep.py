"""What a worker does for its controls and late items now and then, whatever comes."""

import asyncio
import logging

from streams.lateitems import LateItems
from streams.outbox import Outbox
from streams.views import Controls

log = logging.getLogger(__name__)

INTERVAL = 1.0


async def upkeep(controls: Controls, late: LateItems, outbox: Outbox, topic: str) -> None:
    """Forget what is long over, and have the newest of each user's controls be the last in `topic`; for ever."""
    while True:
        await asyncio.sleep(INTERVAL)
        controls.forget()
        late.forget()
        if again := controls.repairs(topic):
            log.warning("%d controls are written again: older ones were written after them", len(again))
            await outbox.send(again, single=True)
