"""A replay that is shared out among processes."""

import os
import sys
from collections.abc import Callable
from multiprocessing import connection, get_context
from queue import Empty
from typing import Any

from ranker.errors import CtrlrecError, DataError
from streams.discreet import guard
from streams.replay.log import Source
from streams.replay.onepass import Moved
from streams.replay.plan import Job, Plan
from streams.replay.sources import open_source

LOOK = 0.1
"""Seconds between two looks at how far the processes are."""
Share = Callable[[Job, Plan, int, Moved, Source], int]
"""Does what falls to one process, by its number, and returns how many lists the log has."""


def side_by_side(share: Share, job: Job, plan: Plan, moved: Moved) -> int:
    """Returns what every `share` does. Raises the CtrlrecError of one that failed."""
    context = get_context("spawn")
    state: Any = context.Array("q", 3 * job.processes, lock=False)
    errors = context.Queue()
    children = [
        context.Process(target=_child, args=(share, job, plan, number, state, errors), daemon=True)
        for number in range(job.processes)
    ]
    for child in children:
        child.start()
    try:
        while any(child.is_alive() for child in children):
            connection.wait([child.sentinel for child in children if child.is_alive()], LOOK)
            moved(sum(state[0::3]) // job.processes, sum(state[1::3]))
            if any(child.exitcode not in (None, 0) for child in children):
                break
        failed = [child for child in children if child.exitcode not in (None, 0)]
        if failed:
            try:
                raise errors.get(timeout=1)
            except Empty:
                raise DataError(
                    f"a process of the replay ended with {failed[0].exitcode}; the same command goes on where it was"
                ) from None
    finally:
        for child in children:
            child.terminate()
            child.join()
    return int(state[2])


def _child(share: Share, job: Job, plan: Plan, number: int, state: Any, errors: Any) -> None:
    guard()
    parent = os.getppid()

    def moved(read: int, lists: int) -> None:
        state[3 * number], state[3 * number + 1] = read, lists
        if os.getppid() != parent:  # it was killed, and cannot say so
            os._exit(1)

    try:
        state[3 * number + 2] = share(job, plan, number, moved, open_source(job.log, job.settings))
    except CtrlrecError as error:
        errors.put(error if type(error).__init__ is Exception.__init__ else DataError(str(error)))
        errors.close()
        errors.join_thread()
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception:  # noqa: BLE001  multiprocessing would tell all that it says
        sys.excepthook(*sys.exc_info())
        raise SystemExit(1) from None
