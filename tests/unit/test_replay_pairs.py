"""Every variant beside every other, however many there are."""

import json
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from ranker.ragged import Spans
from streams.replay.finish import write_report
from streams.replay.job import replay
from streams.replay.pairs import MOST_BY_USER, compare_pairs, pairs_of
from streams.replay.totals import Estimate, _within
from tests.unit.small_log import a_list, a_request, job_of, line

pytestmark = pytest.mark.usefixtures("small_bundles")
WEIGHTS = [0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0]


@pytest.mark.parametrize("variants", [2, MOST_BY_USER, MOST_BY_USER + 1, 12])
@pytest.mark.parametrize("lengths", [[1], [20, 20], [1, 30, 9, 10, 11]])
def test_overlap_and_correlation_of_each_two(variants: int, lengths: list[int]) -> None:
    rng = np.random.default_rng(0)
    places = [np.concatenate([rng.permutation(n) for n in lengths]) for _ in range(variants)]
    spans = Spans(lengths)
    pairs = compare_pairs(places, spans)
    assert len(pairs) == len(pairs_of(variants)) == variants * (variants - 1) // 2
    for pair, (one, other) in zip(pairs, combinations(places, 2), strict=True):
        for (overlap, rho, lists), span in zip(pair, spans.slices, strict=True):
            n, shared = span.stop - span.start, (one[span] < 10) & (other[span] < 10)
            assert overlap == shared.sum() / min(n, 10)
            assert rho == pytest.approx(spearmanr(one[span], other[span]).statistic if n > 1 else 1)
            assert lists == 1


def log_of(folder: Path) -> Path:
    rng = np.random.default_rng(4)
    lines = [line(a_request(f"r{user}", f"u{user}", weight=user / 30)) for user in range(30)]
    lines += [
        line(a_list(f"e{n}", f"u{n % 30}", base_scores=rng.random(20).tolist())) for n in range(90)
    ]  # fmt: skip
    log = folder / "log.jsonl"
    log.write_bytes(b"\n".join(lines) + b"\n")
    return log


def test_many_variants_are_compared_each_with_each(tmp_path: Path) -> None:
    """As few of them are, but for their intervals, which are over groups of users."""
    log = log_of(tmp_path)
    few = write_report(replay(job_of(log, tmp_path / "few", weights=WEIGHTS[:MOST_BY_USER], segment=40)), {})
    many = write_report(replay(job_of(log, tmp_path / "many", weights=WEIGHTS, segment=40)), {})
    assert len(many.pairs) == len(WEIGHTS) * (len(WEIGHTS) - 1) // 2
    found = {(pair.one, pair.other): pair for pair in many.pairs}
    for pair in few.pairs:
        same = found[pair.one, pair.other]
        assert same.differences == pair.differences
        for one, other in ((pair.overlap, same.overlap), (pair.rho, same.rho)):
            assert other.mean == pytest.approx(one.mean)
            assert other.observations == one.observations == 90
            assert other.users < one.users == 30
            assert other.low is not None
            assert one.low is not None
            assert one.mean is not None
            assert other.low == pytest.approx(one.low, abs=(one.mean - one.low) / 2)

    text = (tmp_path / "many" / "report.md").read_text()
    for title in ("Top-10 overlap", "Spearman's ρ", "Change of the adherence gain, from a row's variant to a column's"):
        rows = text.partition(f"### {title}\n\n")[2].partition("\n\n")[0].splitlines()
        assert [row.count("±") + row.count("|  |") for row in rows[2:]] != []
        filled = [sum(bool(cell.strip()) for cell in row.split("|")[2:-1]) for row in rows[2:]]
        assert filled == [*range(len(WEIGHTS) - 1, 0, -1)]
        assert all(a > b for a, b in pairwise(filled))
    assert "![pairs](pairs.png)" in text
    assert (tmp_path / "many" / "pairs.png").stat().st_size > 10_000
    assert len(json.loads((tmp_path / "many" / "report.json").read_bytes())["pairs"]) == len(many.pairs)


def test_more_than_a_table_holds_are_a_picture(tmp_path: Path) -> None:
    write_report(replay(job_of(log_of(tmp_path), tmp_path / "out", weights=[n / 24 for n in range(25)])), {})
    text = (tmp_path / "out" / "report.md").read_text()
    assert "Every two of the 25 variants are in `pairs.png`" in text


def test_intervals_end_at_what_a_figure_can_be() -> None:
    wide = Estimate(0.9, 0.5, 1.3, 9, 3)
    assert _within(wide, "overlap") == Estimate(0.9, 0.5, 1.0, 9, 3)
    assert _within(Estimate(-0.9, -1.3, -0.5, 9, 3), "rho").low == -1
    assert _within(wide, "expected clicks") == wide
