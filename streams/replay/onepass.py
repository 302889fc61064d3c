"""One pass over a log: all of its requests and items are applied, and the segments that fall to this process are ranked."""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ranker.errors import BadEvent, DataError
from ranker.events import ControlRequest
from ranker.rank import rankings
from ranker.run import Asked, Flat
from streams.replay.known import Known, digest
from streams.replay.log import STATE, Entry, Source, Spot, Unreadable, place
from streams.replay.pins import Pins
from streams.replay.segments import LISTS, Layout, Segment
from streams.replay.state import Serving, State
from streams.replay.unread import candidates, entries, lay_out_all
from streams.replay.variants import Answers, Variant, rank_all
from streams.wire import decode_candidates, encode

if TYPE_CHECKING:
    from streams.replay.fleet import Fleet

BATCH = 256
"""Lists that are ranked at a time."""
ENTRIES = 100_000
"""Items of them all at which a batch is ranked at once."""
DIFFERENT = 10
"""Event ids of differing rankings that a segment keeps."""

Moved = Callable[[int, int], object]
"""Hears how much of the source was read, and how many lists of this process are done."""


class Way(NamedTuple):
    """What is the same for every process."""

    variants: Sequence[Variant]
    layout: Layout
    eta: float
    strict: bool = False
    check: bool = False
    lists: int = LISTS
    """In a segment."""
    batch: int = BATCH
    entries: int = ENTRIES


class Waiting(NamedTuple):
    """A list that is to be ranked with those beside it."""

    spot: Spot
    value: bytes | None
    asked: list[Asked]
    control: ControlRequest | None


class Pass:
    """`mine` says which segments to rank; the others are passed over, but for what they change."""

    def __init__(
        self,
        way: Way,
        state: State,
        mine: Callable[[int], bool],
        moved: Moved,
        *,
        known: Known | None = None,
        pins: Pins | None = None,
        fleet: "Fleet | None" = None,
    ) -> None:
        """A `fleet` ranks in place of this process; `state` then has no bundle."""
        self._way, self._state, self._known, self._pins, self._mine, self._moved = way, state, known, pins, mine, moved
        self._fleet = fleet
        self._clicks = known if known and known.clicks else None
        self._check = known if known and way.check else None
        self._segment: Segment | None = None
        self._waiting: list[Waiting] = []
        self._under: Sequence[Serving] = state.servings
        self._read = self._entries = self._lists = self._order = self._began = self.seen = 0

    def run(self, source: Source) -> None:
        """Raises DataError; if `strict`, for the first line that would be skipped."""
        at = -1
        for order, entry in enumerate(source.entries(STATE, self._advance)):
            self._order = order
            if (number := self.seen // self._way.lists) != at:
                self._close()
                at = number
                if self._mine(number):
                    self._begin(number)
            try:
                self._take(entry)
            except BadEvent as error:
                self._bad(Spot(self._order, entry.where), error)
        self._close()

    def _take(self, entry: Entry | Unreadable) -> None:
        if isinstance(entry, Unreadable):
            raise entry.error
        if entry.kind == "candidates":
            self.seen += 1
            if self._segment:
                self._segment.lists += 1
                self._list(entry)
            return
        if entry.kind == "requests":
            self._state.request(entry)
        elif entry.kind == "controls":
            self._state.control(entry)
        else:
            self._rank()  # with the items that there were
            item_id = self._state.item(entry)
            if self._fleet:
                self._fleet.item(item_id, self._state.late[item_id], Spot(self._order, entry.where))
        if self._segment:
            self._segment.events[entry.kind] += 1

    def _list(self, entry: Entry) -> None:
        value = self._state.value(entry)
        listed = decode_candidates(value) if self._pins else candidates(value)
        under: Sequence[Serving] = self._state.servings
        asked: list[Asked] | None = None
        control: ControlRequest | None = None
        if self._pins and (pinned := self._pins.asked(listed)):
            under, asked, control = pinned[0], [pinned[1]], pinned[2]
        if asked is None:
            asked, control = self._state.asked(listed, entry.partition)
        if len(self._waiting) == self._way.batch or self._entries > self._way.entries or under is not self._under:
            self._rank()
        self._under = under
        self._entries += entries(listed)
        self._waiting.append(Waiting(Spot(self._order, entry.where), value, asked, control))

    def _rank(self) -> None:
        """Rank what waits, which then no longer does."""
        waiting, segment = self._waiting, self._segment
        if not waiting or segment is None:
            return
        self._waiting, self._entries = [], 0
        for serving in self._under:
            serving.number_by(segment.codes)  # nothing, if it does already
        flat, refused = lay_out_all(
            [each.asked[0] for each in waiting], [each.value for each in waiting], segment.codes
        )
        for number, error in sorted(refused.items(), key=lambda each: each[0]):
            self._bad(waiting[number].spot, error)
        good = [each for number, each in enumerate(waiting) if number not in refused]
        if flat is not None:
            made = self._through(self._fleet, flat, good, segment) if self._fleet else (self._here(flat, good), good)
            if made:
                self._add(*made, segment)
        self._lists += len(waiting)
        self._moved(self._read, self._lists)

    def _here(self, flat: Flat, good: Sequence[Waiting]) -> Answers:
        runs = [[each.asked[bundle] for each in good] for bundle in range(len(self._under))]
        texts = [words(asked, each.control) for asked, each in zip(flat.run, good, strict=True)]
        return rank_all(flat, runs, texts, self._under, self._way.variants)

    def _through(
        self, fleet: "Fleet", flat: Flat, good: list[Waiting], segment: Segment
    ) -> tuple[Answers, list[Waiting]] | None:
        """What a fleet makes of them, without those of which it made dead letters; None if there are no others."""
        from streams.replay.fleet import answers_of

        refused = [each for each in fleet.settle() if each[0].order >= self._began]  # others are listed already
        told = fleet.rank(flat, [each.control for each in good])
        refused += [(each.spot, came) for each, came in zip(good, told, strict=True) if isinstance(came, BadEvent)]
        for spot, error in sorted(refused, key=lambda each: each[0].order):
            self._bad(spot, error)
        back = [(each, came) for each, came in zip(good, told, strict=True) if not isinstance(came, BadEvent)]
        if not back:
            return None
        kept = [each for each, _ in back]
        if len(kept) < len(good):
            again, _ = lay_out_all([each.asked[0] for each in kept], [each.value for each in kept], segment.codes)
            assert again is not None  # noqa: S101  they were laid out before
            flat = again
        return answers_of(flat, [each.control for each in kept], [came for _, came in back]), kept

    def _add(self, answers: Answers, good: Sequence[Waiting], segment: Segment) -> None:
        ids = [asked.candidates.event_id for asked in answers.flat.run]
        clicks = self._clicks.clicked(ids) if self._clicks else {}
        segment.add(answers, clicks, self._way.eta, [each.spot for each in good])
        if self._check:
            self._compare(answers, ids, segment, self._check)

    def _compare(self, answers: Answers, ids: Collection[str], segment: Segment, known: Known) -> None:
        """The first variant's rankings with the recorded ones."""
        recorded = known.served(ids)
        batch = answers.batches[0]
        for ranking in batch if isinstance(batch, list) else rankings(*batch):
            was = recorded.get(ranking.event_id)
            verdict = 2 if was is None else int(was.digest != digest(encode(ranking)))
            segment.checked[verdict] += 1
            if verdict == 1 and len(segment.different) < DIFFERENT:
                segment.different.append(ranking.event_id)

    def _bad(self, spot: Spot, error: BadEvent) -> None:
        if self._segment is None:
            return
        if self._way.strict:
            self._rank()  # among what waits there may be an earlier one
            raise DataError(f"{place(spot.where)}: {error.reason}: {error}") from error
        self._segment.bad(spot, error)

    def _begin(self, number: int) -> None:
        self._segment, self._began = Segment(number, self._way.layout, self._way.variants), self._order

    def _close(self) -> None:
        self._rank()
        if self._segment:
            self._segment.close()
        self._segment = None
        self._moved(self._read, self._lists)

    def _advance(self, read: int) -> None:
        self._read = read
        if self._segment is None:
            self._moved(read, self._lists)


def words(asked: Asked, control: ControlRequest | None) -> str:
    """What steers a list, as its reader put it."""
    return asked.candidates.request or (control and control.text) or ""


def share(process: int, processes: int, done: Collection[int]) -> Callable[[int], bool]:
    """The segments of one of so many processes: in turn, without those that are done."""
    return lambda number: number not in done and number % processes == process
