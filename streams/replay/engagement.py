"""What readers would have clicked: inverse-propensity-weighted clicks under the position-based model.

P(click) = θ(place) · relevance: that a place is looked at depends on the place alone (Joachims, Swaminathan and Schnabel, WSDM
2017), θ(place) = (place + 1)^-η, places from 0. A click on an item that was shown on place s and would have stood on
place t counts θ(t) / θ(s), at most `CLIP` (Li et al., KDD 2018); an item that would not have been returned counts
nothing. Summed over a list's clicks this estimates its clicks under the variant: without bias where the model holds
and nothing is clipped, and only from items that were shown. Its variance is taken between users, as every other's.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ranker.errors import BadEvent
from streams.replay.figures import COLUMNS, Compared
from streams.replay.log import Where
from streams.replay.variants import Answers

CLIP = 10.0
CLICKS, EXPECTED = COLUMNS.index("clicks"), COLUMNS.index("expected")


class Clicked(NamedTuple):
    """One click: the item, its place as shown, and where the click lies in the log."""

    item_id: str
    place: int
    where: Where


def estimate(
    answers: Answers, compared: Compared, clicks: Mapping[str, Sequence[Clicked]], eta: float
) -> list[tuple[int, Clicked, BadEvent]]:
    """Fill in the clicks of each list and what they would have been. Returns those that cannot be, each with the number
    of its list and why: on an item that the list has not, or at a place behind its end."""
    flat, strange = answers.flat, list[tuple[int, Clicked, BadEvent]]()
    if not clicks:
        return strange
    entry_of = np.empty(len(flat.base), np.intp)
    entry_of[flat.base] = flat.spans.positions  # from an entry as it came to its place in base order
    for number, (asked, span) in enumerate(zip(flat.run, flat.spans.slices, strict=True)):
        each = asked.candidates
        if each.event_id not in clicks:
            continue
        ids = list(flat.ids[span])
        for click in clicks[each.event_id]:
            if click.item_id not in ids or click.place >= len(ids):
                strange.append((number, click, _bad_click(each.event_id, click, len(ids))))
                continue
            entry = entry_of[span.start + ids.index(click.item_id)]
            compared.rows[:, number, CLICKS] += 1
            shown = each.top_k or len(ids)
            for variant, places in enumerate(compared.places):
                if (now := int(places[entry])) < shown:
                    compared.rows[variant, number, EXPECTED] += min(CLIP, ((click.place + 1) / (now + 1)) ** eta)
    return strange


def _bad_click(event_id: str, click: Clicked, items: int) -> BadEvent:
    if click.place >= items:
        return BadEvent("schema", f"a click at position {click.place}, but list {event_id!r} has {items} items, from 0")
    return BadEvent("schema", f"a click on {click.item_id!r}, which list {event_id!r} does not have")
