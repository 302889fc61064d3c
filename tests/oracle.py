"""The oracle of every fault test: each input has one outcome, and an outcome that comes twice is the same twice.

The inputs are numbered by where they lie; all outputs and all dead letters are read, and compared.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Place = tuple[str, int, int]
"""Topic, partition, offset."""

REPORT: list[str] = []
"""A line for each account that was taken, and the tables of alerts; shown when the tests end."""


class Account(NamedTuple):
    """What became of some inputs."""

    inputs: int
    outputs: int
    """Inputs with an answer."""
    letters: int
    """Inputs with a dead letter."""
    missing: list[Place]
    repeats: int
    """Outcomes beyond the first of each."""
    unlike: list[str]
    """Ids under which not all answers have the same bytes, and places whose dead letters are unlike."""
    both: list[Place]
    """Those with an answer and a dead letter."""

    @classmethod
    def of(
        cls,
        inputs: Mapping[Place, str | None],
        answers: Mapping[str, Sequence[bytes]],
        letters: Mapping[Place, Sequence[Any]],
    ) -> "Account":
        """`inputs`: place → id of its answer, or None where only a dead letter can come. An event may lie at two
        places, and then has two answers under its one id."""
        places: dict[str | None, list[Place]] = defaultdict(list)
        for place, event_id in inputs.items():
            places[event_id].append(place)
        dead = [place for place in inputs if place in letters]
        answered = {event_id: found for event_id in places if event_id and (found := answers.get(event_id))}
        outputs = sum(min(len(found), len(places[event_id])) for event_id, found in answered.items())
        came = sum(map(len, answered.values())) + sum(len(letters[place]) for place in dead)
        return cls(
            inputs=len(inputs),
            outputs=outputs,
            letters=len(dead),
            missing=[
                place
                for event_id, some in places.items()
                for place in [each for each in some if each not in letters][len(answered.get(event_id or "", ())) :]
            ],
            repeats=came - outputs - len(dead),
            unlike=[event_id for event_id, found in answered.items() if len(set(found)) > 1]
            + [str(place) for place in dead if len({(letter.value, *letter.headers) for letter in letters[place]}) > 1],
            both=[place for place in dead if inputs[place] in answered],
        )

    def check(self, name: str) -> int:
        """Report; assert that nothing is missing and that repeats are equal; how many repeats there were."""
        line = (
            f"{name:<44} inputs {self.inputs:6}  outputs {self.outputs:6}  dead letters {self.letters:5}  "
            f"missing {len(self.missing)}  unlike {len(self.unlike)}  repeats {self.repeats}"
        )
        REPORT.append(line)
        print(line)
        assert self.missing == []
        assert self.unlike == []
        assert self.both == []
        assert self.inputs == self.outputs + self.letters
        return self.repeats


def finished_before(committed: Mapping[tuple[str, int], int], missing: Sequence[Place]) -> list[Place]:
    """Of what has no outcome, what lies before its partition's committed offset: it would never come again.

    `committed`: topic and partition → offset.
    """
    return [place for place in missing if place[2] < committed[place[:2]]]
