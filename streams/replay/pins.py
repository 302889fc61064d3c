"""Ranking each list with what really served it: the bundle and the request that its recorded ranking names."""

from collections.abc import Callable
from functools import lru_cache

from ranker.errors import BundleError
from ranker.events import CandidateList
from ranker.rank import Asked, Steering
from streams.replay.known import Known, Served
from streams.replay.state import Serving, State

REMEMBERED = 100_000
"""Controls that are kept."""
BUNDLES = 4
"""Bundles that are kept: two alternate while a fleet takes one over."""


class Pins:
    """Opens bundles by their version, with the late items that are there by then."""

    def __init__(self, known: Known, state: State, open_version: Callable[[str], Serving]) -> None:
        self._known, self._state, self._open_version = known, state, open_version
        self._control = lru_cache(REMEMBERED)(self._made)

    def asked(self, candidates: CandidateList, served: Served) -> tuple[Serving, Asked, str] | None:
        """The bundle, the list with what steered it, and the request's text. None where the log lacks the request.

        Raises BundleError for a version that is not there, and BadEvent.
        """
        serving = self._serving(served.bundle)
        if served.request_id is None:
            return serving, Asked(candidates, None, served.degraded or "no_control"), ""
        if candidates.request is not None and served.request_id == candidates.event_id:
            return serving, Asked(candidates, serving.own(candidates)), candidates.request
        found = self._control(served.bundle, served.request_id)
        return found and (serving, Asked(candidates, found[0]), found[1])

    def _made(self, version: str, request_id: str) -> tuple[Steering, str] | None:
        request = self._known.request(request_id)
        return request and (self._serving(version).control(request), request.text or "")

    def _serving(self, version: str) -> Serving:
        kept = self._state.pinned
        if version not in kept:
            if len(kept) == BUNDLES:
                del kept[next(iter(kept))]
                self._control.cache_clear()
            kept[version] = serving = self._open_version(version)
            for item_id, text in self._state.late.items():
                serving.put(item_id, None if text is None else serving.item(text))
        return kept[version]


def no_version(version: str, folders: str) -> BundleError:
    """A list was served by a bundle that nobody has given."""
    return BundleError(
        f"the log was served by bundle {version}, which is not in {folders}: name a store that holds it with --bundle"
    )
