"""Requests that are older than the log, known by what workers made of them."""

from pathlib import Path

import pytest

from ranker.embed import RequestEmbedder
from ranker.events import Control, ControlRequest
from streams.wire import decode_ranking
from tests.smallbundle import SmallBundle
from tests.unit.small_log import a_list, a_request, line, replayed

pytestmark = pytest.mark.usefixtures("small_bundles")


def control_of(request: ControlRequest) -> Control:
    return RequestEmbedder(SmallBundle()).control(request)


def steered_by(rankings: list[bytes]) -> dict[str, str | None]:
    return {ranking.event_id: ranking.request_id for ranking in map(decode_ranking, rankings)}


def test_a_control_stands_for_a_request_that_the_log_lacks(tmp_path: Path) -> None:
    old = a_request("old", weight=0.9, context="likes war", expires_at=1e9)
    log = [line(control_of(old)), line(a_list("a", explain=True)), line(a_list("another's", "v"))]
    done = replayed(tmp_path, log)
    assert steered_by(done.rankings) == {"a": "old", "another's": None}
    assert done.rankings == replayed(tmp_path, [line(old), *log[1:]]).rankings
    assert done.events == {"controls": 1, "candidates": 2}


def test_of_a_request_that_the_log_has_it_tells_nothing(tmp_path: Path) -> None:
    first, second = a_request("first"), a_request("second", created_at=60.0)
    done = replayed(
        tmp_path,
        [
            line(second),
            line(control_of(first)),  # late
            line(a_list("a")),
            line(a_request("no more", op="clear", created_at=70.0)),
            line(control_of(second)),
            line(a_list("b")),
        ],
    )
    assert steered_by(done.rankings) == {"a": "second", "b": None}
    assert done.bad == []


def test_one_that_was_withdrawn_is_not_in_force(tmp_path: Path) -> None:
    gone = line(None, key="u", topic="controls")
    done = replayed(
        tmp_path,
        [
            line(control_of(a_request("old"))),
            gone,
            line(a_list("a")),
            line(a_request("new", created_at=60.0)),
            gone,  # the log has the request, and would have its withdrawal
            line(a_list("b")),
            line({"event_id": "none"}, topic="controls"),
        ],
    )
    assert steered_by(done.rankings) == {"a": None, "b": "new"}
    assert done.reasons == {"schema": 1}
