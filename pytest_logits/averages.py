"""A class whose score is an average of the others', with weights that do not depend on the parameters or the input.

Such a score is never above all others. The weights are found in some settings of the parameters and held against the
rest: free scores that happen to fit in the first do not fit in the others.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Where a score is nearer than this to another's, as a share of what the row spans, rounding decides: in float32 it is
# about 1e-6. Saturated outputs are all that near.
APART = 2e-4
# How far from the average a score may be, as a share of its distance from the nearest other score.
OFF = 0.02
# Rows that are held against the weights, and the settings that they come from. A free score lies that near to a given
# value in one row of 25 at most, so in four settings, were all rows of each alike, in one model of 390,000.
HELD_OUT, HELD_OUT_SETTINGS = 16, 4


def average_of_others(settings: list[Tensor]) -> int | None:
    """The first class that wins in no row and is an average of the others in every one; None where there is none.

    Args:
        settings: scores (N, K), K at least 3, of independent settings of the parameters.
    """
    scores = torch.cat(settings)
    if len(scores) == 0 or scores.shape[1] < 3 or torch.finfo(scores.dtype).eps > APART / 100:
        return None
    won = set(scores.argmax(dim=1).tolist())
    moving = [k for k in range(scores.shape[1]) if bool((scores[:, k] != scores[0, k]).any())]
    if len(moving) < 3:
        return None
    candidates = [c for c in moving if c not in won]
    if len(moving) > len(scores) // 2:
        # Too many for weights to be found: only the plain mean is asked about.
        near = _near_mean(scores[:, moving])
        candidates = [c for c in candidates if near[moving.index(c)]]
    return next((c for c in candidates if _is_average(settings, c, [k for k in moving if k != c])), None)


def _near_mean(scores: Tensor) -> list[bool]:
    """For each class whether its score is nowhere far from the mean of the others, as a share of what the row spans."""
    rows = scores[scores.isfinite().all(dim=1)].double()
    means = (rows.sum(dim=1, keepdim=True) - rows) / (rows.shape[1] - 1)
    span = rows.amax(dim=1, keepdim=True) - rows.amin(dim=1, keepdim=True)
    near: list[bool] = ((rows - means).abs() <= OFF * span).all(dim=0).tolist()
    return near


def _is_average(settings: list[Tensor], c: int, others: list[int]) -> bool:
    rows = [_clear(scores.double(), c, others) for scores in settings]
    held_out = rows[1::2]
    if sum(map(len, held_out)) < HELD_OUT or sum(len(part) > 0 for part in held_out) < HELD_OUT_SETTINGS:
        return False
    found = torch.cat(rows[::2])
    weights = [torch.full((len(others),), 1 / len(others), dtype=torch.float64)]
    if len(found) > len(others):
        # The weights sum to 1: the last is what the others leave.
        last = found[:, -1:]
        free = torch.linalg.lstsq(found[:, 1:-1] - last, found[:, :1] - last).solution.flatten()
        weights.append(torch.cat([free, 1 - free.sum(dim=0, keepdim=True)]))
    return any(bool((w >= -OFF / len(others)).all()) and _holds(w, torch.cat([found, *held_out])) for w in weights)


def _clear(scores: Tensor, c: int, others: list[int]) -> Tensor:
    """The score of the class and those of the others, (n, 1 + others), in rows in which it is near none of them."""
    rows = scores[:, [c, *others]]
    rows = rows[rows.isfinite().all(dim=1)]
    if len(rows) == 0:
        return rows
    span = rows.amax(dim=1) - rows.amin(dim=1)
    return rows[_gap(rows) > APART * span]


def _gap(rows: Tensor) -> Tensor:
    return (rows[:, 1:] - rows[:, :1]).abs().amin(dim=1)


def _holds(weights: Tensor, rows: Tensor) -> bool:
    return bool(((rows[:, 1:] @ weights - rows[:, 0]).abs() <= OFF * _gap(rows)).all())
