"""Files of a bundle that cannot be read for a while, as when a volume is away."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ranker.bundle import ITEM_TOWER
from tests.faults.fleet import Fleet
from tests.live import ITEMS, SCORES, TIMEOUT, new_id
from tests.unit.tiny_towers import bundle_folder

pytestmark = pytest.mark.faults


def test_items_wait_for_their_tower(embedded: str, fleets: Callable[..., Fleet], tmp_path: Path) -> None:
    """It is read for the first item, of which it is no fault that the file is away; lists are ranked meanwhile."""
    bundle = Path(shutil.copytree(bundle_folder(), tmp_path / "bundle"))
    fleet = fleets(embedded, bundle, partitions=1)
    live, worker = fleet.live, fleet.join()
    away = (bundle / ITEM_TOWER).rename(tmp_path / "away")
    item = new_id()
    live.publish("items", {"item_id": item, "text": "river ghosts"})
    fields: dict[str, Any] = {"item_ids": [*ITEMS, item], "base_scores": [*SCORES, -1.0], "request": "ghosts"}
    deadline = time.monotonic() + TIMEOUT
    while "no item is read until this is mended" not in worker.log.read_text() and time.monotonic() < deadline:
        assert live.rank(new_id(), **fields).unknown_items == 1
    assert ITEM_TOWER in worker.log.read_text()
    away.rename(bundle / ITEM_TOWER)
    live.rank_until(lambda ranking: ranking.unknown_items == 0, new_id(), **fields)
    assert (dict(live.outputs.dead), worker.process.poll()) == ({}, None)
