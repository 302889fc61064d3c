import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.progress import Progress
from streams.transport import RUN_BYTES, RunConsumer

PLACE = TP("t", 0)


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(0, 5), st.data())
def test_progress_never_passes_what_is_unfinished(lengths: list[int], start: int, data: st.DataObject) -> None:
    """Runs may finish in any order, some twice."""
    ends = [start + sum(lengths[: n + 1]) for n in range(len(lengths))]
    runs = list(zip([start, *ends[:-1]], ends, strict=True))
    order = data.draw(st.permutations(runs + data.draw(st.lists(st.sampled_from(runs), max_size=5))))
    progress, finished = Progress(start), set()
    for run in order:
        progress.finish(*run)
        finished.add(run)
        first_unfinished = next((begin for begin, end in runs if (begin, end) not in finished), ends[-1])
        assert progress.done == first_unfinished


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=20), st.integers(0, 40))
def test_progress_never_passes_a_gap(runs: list[tuple[int, int]], start: int) -> None:
    """Runs from before a seek may come in whatever way: only what is covered counts."""
    progress, covered = Progress(start), set(range(start))
    for begin, length in runs:
        before = progress.done
        progress.finish(begin, begin + length)
        covered |= set(range(begin, begin + length))
        assert before <= progress.done
        assert set(range(progress.done)) <= covered
        assert progress.done not in covered


def consumer(read_offset: int | None, run_length: int) -> Any:
    """A RunConsumer without a broker: what cutting and acknowledging needs."""
    made = RunConsumer.__new__(RunConsumer)
    made._progress, made._run_length, made._read_offset = {}, run_length, {PLACE: read_offset}
    made._unacked_messages, made._waiting_for_ack, made._committed_offset = set(), None, {PLACE: read_offset}
    made._passed = {}
    made.app = SimpleNamespace(consumer_generation_id=1)
    return made


def records(offsets: list[int], size: int = 2) -> Any:
    record = {"timestamp": 1000, "timestamp_type": 0, "key": None, "headers": (), "value": bytes(size)}
    return [SimpleNamespace(offset=offset, **record) for offset in offsets]


@settings(deadline=None)
@given(
    st.sets(st.integers(0, 60), min_size=1).map(sorted), st.one_of(st.none(), st.integers(0, 60)), st.integers(1, 9),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_runs_cover_every_offset_once(offsets: list[int], read: int | None, length: int, rng: Any) -> None:
    """Offsets without a record are covered too; records below the read offset are not delivered again."""
    made = consumer(read, length)
    runs = list(made._take_turns({PLACE: records(offsets)}, None))
    delivered = [record.offset for run in runs for record in run.value]
    assert delivered == [offset for offset in offsets if read is None or offset >= read]
    assert all(len(run.value) <= length for run in runs)
    start = offsets[0] if read is None else read
    parts = [part for run in runs for part in run.parts]
    assert [part.start for part in parts] == [start, *(part.end for part in parts)][: len(parts)]
    rng.shuffle(runs)
    for n, run in enumerate(runs):
        assert made.ack(run)
        assert not made.ack(run)
        waiting = [part.start for other in runs[n + 1 :] for part in other.parts]
        assert (made._new_offset(PLACE) or start) <= min(waiting, default=offsets[-1] + 1)
    if runs:
        assert made._new_offset(PLACE) == offsets[-1] + 1


def places(runs: Any) -> list[list[tuple[str, int, int, int]]]:
    return [[(*part.tp, part.start, part.end) for part in run.parts] for run in runs]


def test_partitions_take_turns() -> None:
    made = consumer(0, 2)
    other = TP("t", 1)
    made._read_offset[other] = 0
    fetched = {PLACE: records([0, 1, 2, 3, 4]), other: records([0])}
    assert places(made._take_turns(fetched, {PLACE, other})) == [
        [("t", 0, 0, 2)],
        [("t", 1, 0, 1)],
        [("t", 0, 2, 4)],
        [("t", 0, 4, 5)],
    ]
    assert places(made._take_turns(fetched, {other})) == [[("t", 1, 0, 1)]]


def test_what_is_fetched_of_a_topic_is_one_run_if_it_is_little() -> None:
    made = consumer(0, 6)
    second, elsewhere = TP("t", 1), TP("other", 0)
    made._read_offset |= {second: 3, elsewhere: 0}
    fetched = {PLACE: records([0, 1, 2, 3]), elsewhere: records([7]), second: records([3, 4, 5])}
    runs = list(made._take_turns(fetched, None))
    assert places(runs) == [[("t", 0, 0, 4)], [("t", 1, 3, 6)], [("other", 0, 0, 8)]]
    made = consumer(0, 7)
    made._read_offset |= {second: 3, elsewhere: 0}
    whole, other = made._take_turns(fetched, None)
    assert places([whole, other]) == [[("t", 0, 0, 4), ("t", 1, 3, 6)], [("other", 0, 0, 8)]]
    assert ([record.offset for record in whole.value], whole.partitions) == ([0, 1, 2, 3, 3, 4, 5], {0, 1})
    whole.keep({1})  # the other was taken away meanwhile
    assert ([record.offset for record in whole.value], whole.partitions) == ([3, 4, 5], {1})
    made._committed_offset |= {second: 3, elsewhere: 0}
    assert made.ack(whole)
    assert [made._new_offset(place) for place in (PLACE, second, elsewhere)] == [None, 6, None]


def test_a_run_of_large_records_is_short() -> None:
    """Runs wait for each other, and so must be limited in bytes, too; one that alone is over the limit is a run."""
    made, second = consumer(0, 128), TP("t", 1)
    made._read_offset[second] = 0
    large, larger = records(list(range(12)), RUN_BYTES // 4), records([0, 1], RUN_BYTES + 1)
    runs = list(made._take_turns({PLACE: large, second: [*larger, *records([2])]}, None))
    assert [sum(part.size for part in run.parts) <= RUN_BYTES or len(run.value) == 1 for run in runs] == [True] * len(
        runs
    )
    assert sorted((record.offset, len(record.value)) for run in runs for record in run.value) == sorted(
        (record.offset, len(record.value)) for record in [*large, *larger, *records([2])]
    )
    assert places(runs)[0] == [("t", 0, 0, 4)]


def test_partitions_of_a_topic_are_paused_together() -> None:
    made, second, elsewhere = consumer(0, 2), TP("t", 1), TP("other", 0)
    every = {PLACE, second, elsewhere}
    made.app.in_recovery = False
    made._active_partitions, made._buffered_partitions, made.assignment = set(every), set(), lambda: every
    made.on_buffer_full(second)
    assert made._active_partitions == {elsewhere}
    made.on_buffer_drop(PLACE)
    assert made._active_partitions == every


def test_what_was_taken_away_does_not_count() -> None:
    made = consumer(0, 2)
    (run,) = made._take_turns({PLACE: records([0, 1])}, None)
    made._progress.clear()
    assert made.ack(run)
    assert made._new_offset(PLACE) is None


def test_a_partition_without_a_position_ends_no_worker() -> None:
    """Faust's own look at all partitions fails there, as in the midst of a rebalance."""
    made = consumer(0, 2)
    made.assignment = lambda: {PLACE}
    asyncio.run(made.verify_all_partitions_active())


def test_lag_is_told_before_anything_was_committed() -> None:
    made = consumer(None, 2)
    (run,) = made._take_turns({PLACE: records([5, 6])}, None)
    assert made.committed() == {tuple(PLACE): 5}
    made.ack(run)
    assert made.committed() == {tuple(PLACE): 7}
    made._committed_offset[PLACE] = 6
    assert made.committed() == {tuple(PLACE): 6}


def test_a_marker_behind_the_last_record_does_not_wait() -> None:
    """A transaction ends with one: the committed offset stays before it until the next record."""
    made = consumer(0, 2)
    (run,) = made._take_turns({PLACE: records([0, 1])}, None)
    made._read_offset[PLACE], made._passed = run.parts[0].end, {PLACE: 3}
    assert made.committed() == {tuple(PLACE): 0}, "what is in hand still waits"
    made.ack(run)
    made._committed_offset[PLACE] = 2
    assert made.committed() == {tuple(PLACE): 3}


class Rebalanced(RunConsumer):
    """Its broker is a list of offsets, of which it fetches four at a time; a rebalance comes during one of the fetches."""

    should_stop = False
    flow_active = True

    def __init__(self, committed: int | None, during: int) -> None:
        self._broker, self._committed, self._during = list(range(20)), committed, during
        self._position, self._fetches, self.delivered = committed or 0, 0, list[int]()
        self._progress, self._passed, self._run_length, self._seeks = {}, {}, 3, 0
        self._read_offset = {PLACE: committed}
        self._committed_offset: dict[TP, int | None] = {}
        self.app = SimpleNamespace(consumer_generation_id=1)
        self.suspend_flow = self._thread = self
        self.callback = self._deliver

    def assignment(self) -> set[TP]:
        return {PLACE}

    def positions(self) -> dict[TP, int]:
        return {PLACE: self._position}

    async def seek_to_committed(self) -> dict[TP, int | None]:
        """As aiokafka does it."""
        if self._committed:
            self._position = self._committed
        return {PLACE: self._committed}

    async def seek_to_beginning(self, *places: TP) -> None:
        assert places == (PLACE,)
        self._position = 0

    async def _wait_next_records(self, timeout: float) -> Any:
        self._fetches += 1
        fetched = self._broker[self._position : self._position + 4]
        self._position += len(fetched)
        if self._fetches == self._during:
            self._read_offset[PLACE] = None  # it may be new here
            await self.perform_seek()
        self.should_stop = not fetched
        return {PLACE: records(fetched)}, {PLACE}

    async def _deliver(self, run: Any) -> None:
        self.delivered += [record.offset for record in run.value]

    async def sleep(self, _seconds: float) -> None: ...

    async def wait(self) -> None: ...

    async def wait_first(self, first: Any, second: Any) -> None:
        second.close()
        await first


@pytest.mark.parametrize("committed", [None, 0, 5])
@pytest.mark.parametrize("during", [1, 2, 4])
def test_a_rebalance_during_a_fetch_passes_nothing_over(committed: int | None, during: int) -> None:
    """What was fetched is not delivered, since it may be from before the seek: it must be fetched again."""
    made = Rebalanced(committed, during)
    asyncio.run(made._drain_messages(SimpleNamespace(should_stop=False)))
    again = made.delivered[4 * (during - 1) :]
    assert again == list(range(committed or 0, 20))
