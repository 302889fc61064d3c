"""Curves of engagement against adherence: their Pareto fronts, which weight to take, and whether one lies below another."""

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def pareto(engagement: Doubles, adherence: Doubles) -> NDArray[np.intp]:
    """Places (k,) of the points (m,) that no other point beats in one figure and equals in the other, by rising adherence.

    Of equal points the first stays.
    """
    order = np.lexsort((np.arange(len(engagement)), -engagement, -adherence))  # the most adherent first
    kept, best = [], -np.inf
    for place in order:
        if engagement[place] > best:
            kept.append(place)
            best = engagement[place]
    return np.array(kept[::-1], np.intp)


def recommended(engagement: Doubles, adherence: Doubles) -> int:
    """The place on the front that is nearest to having both: least Euclidean distance to the best engagement and the best
    adherence at once, either scaled to 0..1 over the front (compromise programming: Zeleny, 1973).
    """
    front = pareto(engagement, adherence)
    missing = [
        (figures[front].max() - figures[front]) / max(float(np.ptp(figures[front])), 1e-12)
        for figures in (engagement, adherence)
    ]
    return int(front[np.argmin(np.hypot(*missing))])


def shortfall(ours: tuple[Doubles, Doubles], theirs: tuple[Doubles, Doubles]) -> float:
    """How far our front lies below the points of theirs where it does so most: engagement that they have and we have not, at
    the same adherence or more; 0 or less where ours is nowhere below. Each is (engagement, adherence), (m,) each.

    Between neighbouring points a platform may mix the two weights, so what lies between is attained by interpolation.
    """
    front = pareto(*ours)
    engagement, adherence = (figures[front] for figures in ours)
    theirs_front = pareto(*theirs)
    # Left of our front its most engaging point serves as well; right of it we attain nothing.
    attained = np.interp(theirs[1][theirs_front], adherence, engagement, right=0.0)
    return float((theirs[0][theirs_front] - attained).max())
