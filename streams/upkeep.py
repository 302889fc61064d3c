"""What a worker does for its controls and late items now and then, whatever comes."""

import asyncio
import logging
from collections.abc import Callable, Collection

from streams.lateitems import LateItems
from streams.outbox import Outbox
from streams.settings import Settings
from streams.views import Controls

log = logging.getLogger(__name__)

INTERVAL = 1.0


async def upkeep(
    controls: Controls, late: LateItems, outbox: Outbox, settings: Settings, items: Callable[[], Collection[int]]
) -> None:
    """Forget what is long over, and have the newest of each user's controls, and of each item's vectors, be the last in
    its topic, in the vectors of the bundle that serves; for ever. `items()` are the partitions of items that are kept here."""
    while True:
        await asyncio.sleep(INTERVAL)
        controls.forget()
        late.forget()
        in_controls, in_vectors, kept = settings.topic("controls"), settings.topic("vectors"), items()
        for what, mended, rewritten in (
            ("controls", controls.repairs(in_controls), controls.rewritten(in_controls)),
            ("item vectors", late.repairs(in_vectors, kept), late.rewritten(in_vectors, kept)),
        ):
            if mended:
                log.warning("%d %s are written again: older ones were written after them", len(mended), what)
            if rewritten:
                log.info("%d %s are written again, in the vectors of this bundle", len(rewritten), what)
            if again := mended + rewritten:
                await outbox.send(again, single=True)
