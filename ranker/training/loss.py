"""The loss over one judgment matrix."""

import torch
from torch import Tensor

SCALE = 20.0
"""What cosines are multiplied with; without it the logistic function would see differences of 2 at most."""


def pairwise_logistic(cosines: Tensor, judged: Tensor, scale: float = SCALE) -> Tensor:
    """Each pair of items of a request is to be in the order that the judge has it in.

    softplus(-scale · (s_i - s_j)), weighted by y_i - y_j where y_i > y_j. Only differences count, so no bias is needed and
    "no horror" is as easy a target as "horror". `cosines` and `judged` are (requests, items), the loss is their mean
    over requests, each request weighing 1; one whose items are all judged alike counts nothing.
    """
    margin = cosines.unsqueeze(2) - cosines.unsqueeze(1)  # (r, n) -> (r, n, n)
    weight = (judged.unsqueeze(2) - judged.unsqueeze(1)).clamp(min=0)
    loss = (weight * torch.nn.functional.softplus(-scale * margin)).sum(dim=(1, 2))
    total = weight.sum(dim=(1, 2))
    return (loss / total.clamp(min=1e-6))[total > 0].sum() / max(len(cosines), 1)
