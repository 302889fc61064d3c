"""Ranking each list with what really served it: the bundle and the request that its recorded ranking names."""

from collections.abc import Callable
from functools import lru_cache

from ranker.errors import BundleError
from ranker.events import CandidateList, ControlRequest
from ranker.run import Asked, Steering
from streams.replay.known import Known
from streams.replay.state import Serving, State

REMEMBERED = 100_000
"""Controls that are kept."""
BUNDLES = 4
"""Bundles that are kept: two alternate while a fleet takes one over."""


class Pins:
    """Opens bundles by their version, with the late items that are there by then."""

    def __init__(self, known: Known, state: State, open_version: Callable[[str], Serving]) -> None:
        self._known, self._state, self._open_version = known, state, open_version
        self._alone: dict[str, list[Serving]] = {}
        """A list that is the same object for all lists of one bundle."""
        self._control = lru_cache(REMEMBERED)(self._made)

    def asked(self, candidates: CandidateList) -> tuple[list[Serving], Asked, ControlRequest | None] | None:
        """The bundle, the list with what steered it, and the request. None where the log lacks its ranking or
        that request.

        Raises BundleError for a version that is not there, and BadEvent.
        """
        served = self._known.served([candidates.event_id]).get(candidates.event_id)
        if served is None:
            return None
        serving = self._serving(served.bundle)
        alone = self._alone[served.bundle]
        if served.request_id is None:
            return alone, Asked(candidates, None, served.degraded or "no_control"), None
        if candidates.request is not None and served.request_id == candidates.event_id:
            return alone, Asked(candidates, serving.own(candidates)), None
        found = self._control(served.bundle, served.request_id)
        return found and (alone, Asked(candidates, found[0]), found[1])

    def _made(self, version: str, request_id: str) -> tuple[Steering, ControlRequest] | None:
        request = self._known.request(request_id)
        return None if request is None else (self._serving(version).control(request), request)

    def _serving(self, version: str) -> Serving:
        kept = self._state.pinned
        if version not in kept:
            if len(kept) == BUNDLES:
                oldest = next(iter(kept))
                del kept[oldest], self._alone[oldest]
                self._control.cache_clear()
            kept[version] = serving = self._open_version(version)
            self._alone[version] = [serving]
            for item_id, text in self._state.late.items():
                serving.put(item_id, None if text is None else serving.item(text))
        return kept[version]


def no_version(version: str, folders: str) -> BundleError:
    """A list was served by a bundle that nobody has given."""
    return BundleError(
        f"the log was served by bundle {version}, which is not in {folders}: name a store that holds it with --bundle"
    )
