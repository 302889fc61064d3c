"""Every number that decides whether somebody is woken: what is promised, and from where on something is wrong."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["page", "ticket"]

JOB, JOBS = "ctrlrec", "ctrlrec.*"
"""The scrape jobs whose workers must be up. Everything else holds for each job by itself."""


@dataclass(frozen=True)
class Pair:
    """The budget burns `factor` times as fast as it may, over `long` and still over `short`."""

    long: str
    short: str
    factor: float
    severity: Severity


FAST = (Pair("1h", "5m", 14.4, "page"), Pair("6h", "30m", 6, "page"))
SLOW = (Pair("1d", "2h", 3, "ticket"), Pair("3d", "6h", 1, "ticket"))
BUDGET_DAYS = 30
BAD_EVENTS = 10
"""A burn counts from so many bad events on: one slow list in a quiet night is no incident."""

LATENCY_TARGET, LATENCY_SECONDS = 0.99, 0.25
AVAILABILITY_TARGET = 0.999
FRESHNESS_TARGET, FRESHNESS_SECONDS = 0.995, 5.0
ADHERENCE_TARGET = 0.95
"""Of the sampled rankings that had headroom. Nobody is woken for it."""

NO_LIFT_GAIN, NO_LIFT_ERRORS, NO_LIFT_SAMPLES = 0.05, 3, 500
"""The mean gain over 1 h, plus so many standard errors, is below this."""
DOMINANCE_SHARE, DOMINANCE_SAMPLES = 0.3, 200
"""Share of the conflicts over 1 h that the platform's order wins."""
NO_INVENTORY_SHARE, NO_INVENTORY_SAMPLES = 0.5, 200
"""Share of the sampled rankings over 1 h in which no order could have followed the request."""
OOD_PVALUE, OOD_SHARE, OOD_ERRORS, OOD_SAMPLES = 0.05, 0.15, 3, 50
"""Requests with up to this p-value count as unlike those of the bundle's making; just such a share of the usual ones has
one. Over 6 h a larger share than the second, and by so many standard errors more than the first, of at
least so many requests."""
OVERFIT_GAP, OVERFIT_ERRORS, OVERFIT_SAMPLES = 0.1, 3, 100
"""Over 6 h the mean gain of familiar requests less that of others, with so many samples of each."""
DRIFT_PSI, DRIFT_SAMPLES, DRIFT_FLOOR = 0.2, 300, 0.001
"""Population stability index over 6 h, of ten bins, an empty one counting as the floor. By chance alone it is 9 / n."""
CANARY_SHARE, CANARY_AGE = 0.9, "15m"
"""Of the nDCG that the golden requests had when the bundle was made; and how old the last run may be."""

STALLED_FOR = "2m"
HUNG_SECONDS = 0.9
"""A scrape that fails after that long met a process that holds its port and does not answer; a dead one is refused at once.
Prometheus' scrape_timeout must be 1 s or more."""
UNREACHABLE_SECONDS, UNREACHABLE_FOR = 30, "90s"
"""Since the broker last answered a worker, and for how long it is so: two minutes together."""
LAG_SECONDS, LAG_FOR = 60, "10m"
DEAD_LETTERS_SHARE, DEAD_LETTERS = 0.001, 5
"""Share of all events over 15 m, and at least so many."""
LOOP_SILENT_SECONDS = 10
LOOP_LATE_SECONDS, LOOP_LATE_SHARE, LOOP_FOR = 0.25, 0.05, "2m"
DOWN_FOR = "5m"
