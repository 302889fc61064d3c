"""Past one machine: the lists go to Kafka, a fleet of workers ranks them, and the rankings come back from their topic.

Each list carries the request that was in force at its place in the log, so that it does not matter when a worker would have
heard of it, and names its items as they were there (see `fleetitems`); what that changes in a ranking (ids, and why there is
no control) is put back. A list of which a worker makes a dead letter is a bad event.
"""

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ranker.errors import BadEvent, BrokerError
from ranker.events import CandidateList, ControlRequest, Degraded, Explanation, Ranking
from ranker.run import Flat, why_expired
from streams.kafka import broker_errors
from streams.replay.fleetitems import FleetItems
from streams.replay.fleetlink import FleetLink, Patience
from streams.replay.log import Spot
from streams.replay.variants import Answers, Ranked
from streams.settings import Settings
from streams.wire import encode

ATTEMPTS = 5
"""How often a list is sent that comes back without its request since the tower took too long."""
LISTS, ENTRIES = 2_048, 400_000
"""Of a batch, which is sent before any of it is waited for."""


class Sent(NamedTuple):
    """A list on its way."""

    asked: CandidateList
    """As it was published."""
    names: dict[str, str]
    """Its items by what they were called, where that is not as in the log."""
    why: Degraded | None
    """Why nothing steers it although there is a request."""


class Back(NamedTuple):
    """What came of a list that was ranked."""

    sent: Sent
    ranking: Ranking
    """With its items called as in the log."""


class Fleet:
    """A worker fleet, by its topics. Raises BrokerError throughout."""

    def __init__(self, settings: Settings, weight: float | None) -> None:
        self._settings, self._weight, self._run, self._sent = settings, weight, uuid.uuid4().hex[:12], 0
        with broker_errors(settings):
            self._link = FleetLink(settings)
            self._items = FleetItems(settings, self._link)

    def item(self, item_id: str, text: str | None, spot: Spot) -> None:
        """Have an item of the log indexed, or forgotten, before the next list."""
        self._items.tell(item_id, text, spot)

    def settle(self) -> list[tuple[Spot, BadEvent]]:
        """Wait for the items. Returns those that the fleet refused."""
        with broker_errors(self._settings):
            return self._items.settle()

    def rank(self, flat: Flat, controls: Sequence[ControlRequest | None]) -> list[Back | BadEvent]:
        """The lists of a batch, each with the request in force for its user; a refusal for what the fleet cannot rank."""
        with broker_errors(self._settings):
            sent = [
                self._to_send(asked.candidates, list(flat.ids[span]), control)
                for asked, span, control in zip(flat.run, flat.spans.slices, controls, strict=True)
            ]
            came = self._sent_and_back([each.asked for each in sent])
        return [
            told if isinstance(told := came[each.asked.event_id], BadEvent) else Back(each, _renamed(told, each.names))
            for each in sent
        ]

    def close(self) -> None:
        """Disconnect."""
        self._link.close()

    def _to_send(self, asked: CandidateList, item_ids: list[str], control: ControlRequest | None) -> Sent:
        self._sent += 1
        name = f"{self._run}.{self._sent}"  # of the user too: nothing that the fleet knows of theirs is to steer
        fields: dict[str, Any] = {"event_id": name, "user_id": name, "top_k": None, "weight": self._weight}
        names = self._items.named(asked.event_id, item_ids)
        if names is not None:
            fields["item_ids"] = names
        if self._weight is None:
            fields["weight"] = asked.weight
        why = None
        if asked.request is None and control is not None:
            why = why_expired(control.expires_at, asked.created_at)
            if why is None:
                fields["request"], fields["context"] = control.text, control.context
                if fields["weight"] is None:
                    fields["weight"] = control.weight
        return Sent(msgspec.structs.replace(asked, **fields), dict(zip(names or (), item_ids, strict=False)), why)

    def _sent_and_back(self, lists: Sequence[CandidateList]) -> dict[str, Ranking | BadEvent]:
        left, came = {each.event_id: each for each in lists}, dict[str, Ranking | BadEvent]()
        attempts = 0
        while left and attempts < ATTEMPTS:
            attempts += 1
            for each in left.values():
                self._link.send("candidates", encode(each), each.user_id)
            self._link.flush()
            for event_id, told in self._until_back(set(left)).items():
                if isinstance(told, BadEvent) or told.degraded != "deadline":
                    came[event_id] = told
                    del left[event_id]
        if left:
            raise BrokerError(f"the fleet's towers took too long for {len(left)} lists, {ATTEMPTS} times over")
        return came

    def _until_back(self, waiting: set[str]) -> dict[str, Ranking | BadEvent]:
        back, patience = dict[str, Ranking | BadEvent](), Patience()
        while len(back) < len(waiting):
            came: dict[str, Ranking | BadEvent] = {each.event_id: each for each in self._link.rankings()}
            came |= self._link.refused()
            ours = waiting.intersection(came)
            if ours:
                patience.heard()
                back |= {event_id: came[event_id] for event_id in ours}
            patience.check(f"{len(waiting) - len(back)} lists have no ranking, and none came")
        return back


def answers_of(flat: Flat, controls: Sequence[ControlRequest | None], ranked: Sequence[Back]) -> Answers:
    """Of a batch of which every list was ranked."""
    lists = [asked.candidates for asked in flat.run]
    rankings = [
        _restored(each.ranking, asked, control, each.sent.why)
        for each, asked, control in zip(ranked, lists, controls, strict=True)
    ]
    shown = [
        ranking if asked.top_k is None else _cut(ranking, asked.top_k)
        for ranking, asked in zip(rankings, lists, strict=True)
    ]
    return Answers(flat, [_ranked(flat, rankings)], [shown], [each.sent.asked.request or "" for each in ranked])


def _renamed(ranking: Ranking, names: dict[str, str]) -> Ranking:
    if not names:
        return ranking
    return msgspec.structs.replace(ranking, item_ids=[names[item_id] for item_id in ranking.item_ids])


def _restored(ranking: Ranking, asked: CandidateList, control: ControlRequest | None, why: Degraded | None) -> Ranking:
    """As it would be had the list come without the request."""
    fields: dict[str, Any] = {"event_id": asked.event_id, "user_id": asked.user_id}
    if ranking.request_id == ranking.event_id:
        fields["request_id"] = asked.event_id if asked.request is not None or control is None else control.event_id
    if why is not None and ranking.degraded == "no_control":
        fields["degraded"] = why
    return msgspec.structs.replace(ranking, **fields)


def _cut(ranking: Ranking, top_k: int) -> Ranking:
    explain = ranking.explain
    if explain is not None:
        ranks = explain.control_ranks
        explain = Explanation(explain.base_ranks[:top_k], None if ranks is None else ranks[:top_k])
    return msgspec.structs.replace(ranking, item_ids=ranking.item_ids[:top_k], explain=explain)


def _ranked(flat: Flat, restored: Sequence[Ranking]) -> Ranked:
    """Orders as places of the base order, from the ids."""
    order = np.empty(flat.spans.size, np.intp)
    for span, ranking in zip(flat.spans.slices, restored, strict=True):
        at = {flat.ids[entry]: span.start + place for place, entry in enumerate(flat.base[span].tolist())}
        order[span] = [at[item_id] for item_id in ranking.item_ids]
    figures = [ranking.adherence for ranking in restored]
    return Ranked(
        order,
        [ranking.weight for ranking in restored],
        np.array([each is not None for each in figures]),
        np.array([(0.0, 0.0, 0.0) if each is None else (each.base, each.fused, each.best) for each in figures]),
        [ranking.degraded for ranking in restored],
    )
