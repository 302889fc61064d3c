"""What the head of the request tower is taught by: how far the scores that it gives are from the judge's."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ranker.training.head import Head, Reading, amounts_to

Loss = Literal["correlation", "mse", "cross-entropy"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
SIDES_WEIGHT, ASTRAY_WEIGHT = 2.0, 2.0
"""Of which sides there are, and of how far a direction is from what is known to be meant."""
SCALE, SLOPE, INTERCEPT = 10.0, 1.0, -0.3
"""The calibration is learned in tenths, or a head's rate would move it too little; it starts near where Platt's curve ends."""
MSE_WEIGHT = 4.0
"""The squares of errors below 1 are small: without it the sides would be most of the loss."""


class Misunderstood(nn.Module):
    """The loss of a head. Two of the three have a calibration of their own to learn, which serves nothing but the teaching."""

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        self.loss = loss
        if loss != "correlation":
            # Of the whole request, of what is wanted and of what is refused.
            self.slope = nn.Parameter(torch.full((3, 1), SLOPE))
            self.intercept = nn.Parameter(torch.full((3, 1), INTERCEPT))

    def forward(self, head: Head, read: Reading, items: Tensor, judged: Tensor, present: Tensor) -> Tensor:
        """The loss of b requests on items (k, d), unit vectors, judged (b, 3, k) as a whole and by side, NaN where nothing is
        said of an item; `present` (b, 2).

        How far the request as a whole is off, and what each side names, by one of: 1 - r, r the correlation of the scores
        given with the judge's; the mean square of σ(slope · cosine + intercept) - judgment; the cross-entropy of that
        chance with the judgment as a soft target. On top of it the cross-entropy of which sides there are.
        """
        return self.of_sides(*head.understood(read), items, judged, present)

    def of_sides(
        self,
        directions: Tensor,
        sides: Tensor,
        items: Tensor,
        judged: Tensor,
        present: Tensor,
        meant: Tensor | None = None,
    ) -> Tensor:
        """The loss of what a head understood: directions (b, 2, d), and logits (b, 2) of which there are. On top of it how far
        the directions went astray, where (b, 2, d) that are `meant` are known."""
        said = torch.cat([amounts_to(directions, sides).unsqueeze(1), directions], dim=1)  # (b, 3, d)
        whole, wanted, refused = self.apart(said, items, judged).unbind()
        named = nn.functional.binary_cross_entropy_with_logits(sides, present)
        astray = 0 if meant is None else (1 - (directions * meant).sum(dim=-1)).mean()
        return whole + (wanted + refused) / 2 + SIDES_WEIGHT * named + ASTRAY_WEIGHT * astray

    def apart(self, said: Tensor, items: Tensor, judged: Tensor) -> Tensor:
        """(3,) how far (b, 3, d) is from (b, 3, k), mean over the requests of which anything is said."""
        known, judged = ~judged.isnan(), judged.nan_to_num()
        if self.loss == "correlation":
            off = 1 - correlation(said @ items.T, judged, known)  # (b, 3)
        else:
            cosines = nn.functional.normalize(said, dim=-1) @ items.T  # (b, 3, d) @ (d, k) -> (b, 3, k)
            logits = SCALE * (self.slope * cosines + self.intercept)
            if self.loss == "mse":
                each = MSE_WEIGHT * (torch.sigmoid(logits) - judged).square()
            else:
                each = nn.functional.binary_cross_entropy_with_logits(logits, judged, reduction="none")
            off = _mean(each, known).squeeze(-1)
        anything = known.any(dim=-1)
        return (off * anything).sum(dim=0) / anything.sum(dim=0).clamp(min=1)


def correlation(left: Tensor, right: Tensor, known: Tensor) -> Tensor:
    """Pearson's r of each row of two (..., k) over the columns that are `known` (..., k): (...), 0 where either is constant."""
    left, right = ((rows - _mean(rows, known)) * known for rows in (left, right))
    return nn.functional.cosine_similarity(left, right, dim=-1)


def _mean(rows: Tensor, known: Tensor) -> Tensor:
    """(..., k) -> (..., 1) over the columns that are `known`; 0 where none is."""
    return (rows * known).sum(dim=-1, keepdim=True) / known.sum(dim=-1, keepdim=True).clamp(min=1)
