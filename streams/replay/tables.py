"""What the tables of a report are made of."""

from collections.abc import Iterable, Sequence

from streams.replay.totals import Estimate

HEADINGS = {
    "gain": "adherence gain",
    "alignment": "alignment of the top 10",
    "platform's alignment": "… in the platform's order",
    "best alignment": "… in the best order",
    "alignment change": "alignment of the top 10, change",
    "overlap": "top-10 overlap with the platform's",
    "rho": "rank correlation with the platform's (Spearman's ρ)",
    "clicks": "clicks a list, as shown",
    "expected clicks": "clicks a list, estimated",
    "click change": "clicks a list, change",
}


def estimated(estimate: Estimate, *, sign: bool = False) -> str:
    if estimate.mean is None:
        return "–"
    plus = "+" if sign else ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean:{plus}.3f}"
    return f"{estimate.mean:{plus}.3f} ({estimate.low:{plus}.3f} to {estimate.high:{plus}.3f})"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [headings, ["---"] * len(headings), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
