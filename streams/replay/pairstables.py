"""Variants beside each other, as Markdown: a row for each pair, or where those are many, a matrix for each figure."""

from collections.abc import Callable, Iterator

from streams.replay.pairs import by_user
from streams.replay.report import PairReport, Report
from streams.replay.tables import HEADINGS, estimated, table
from streams.replay.totals import Estimate

WIDEST = 20
"""Variants in a matrix; of more of them, a picture is easier to read."""


def pairs_table(report: Report) -> list[str]:
    """Every two variants, however many there are, unless a matrix had more than `WIDEST` columns."""
    if by_user(len(report.variants)):
        return _rows(report)
    if len(report.variants) > WIDEST:
        return [
            f"Every two of the {len(report.variants)} variants are in `pairs.png`, and with intervals in `report.json`."
        ]
    return list(_matrices(report))


def _rows(report: Report) -> list[str]:
    names = list(report.pairs[0].differences)
    rows = [
        (
            pair.one, pair.other, estimated(pair.overlap), estimated(pair.rho),
            *(estimated(pair.differences[name], sign=True) for name in names),
        )
        for pair in report.pairs
    ]  # fmt: skip
    return table(("from", "to", "top-10 overlap", "ρ", *(f"{HEADINGS[name]}: change" for name in names)), rows)


def _matrices(report: Report) -> Iterator[str]:
    yield "Variants are numbered as they stand in the rows. An interval is the mean ± half of it."
    yield from ("", "### Top-10 overlap", "", *_matrix(report, lambda pair: pair.overlap, sign=False))
    yield from ("", "### Spearman's ρ", "", *_matrix(report, lambda pair: pair.rho, sign=False))
    for name in report.pairs[0].differences:
        title = f"### Change of the {HEADINGS[name]}, from a row's variant to a column's"
        yield from ("", title, "", *_matrix(report, lambda pair, name=name: pair.differences[name], sign=True))  # type: ignore[misc]


def _matrix(report: Report, figure: Callable[[PairReport], Estimate], *, sign: bool) -> list[str]:
    found = {(pair.one, pair.other): _short(figure(pair), "+" if sign else "") for pair in report.pairs}
    names = [variant.name for variant in report.variants]
    rows = [
        (f"{number} {name}", *(found.get((name, other), "") for other in names[1:]))
        for number, name in enumerate(names[:-1], 1)
    ]
    return table(("", *(str(number) for number in range(2, len(names) + 1))), rows)


def _short(estimate: Estimate, plus: str) -> str:
    if estimate.mean is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean:{plus}.3f}"
    return f"{estimate.mean:{plus}.3f} ± {(estimate.high - estimate.low) / 2:.3f}"
