"""Classes whose score is never above that of some other class, however the parameters are set."""

from __future__ import annotations

import torch
from torch import Tensor

# Where classes have nothing to do with each other, one in 2^16 pairs keeps its order in so many rows; of scores that
# are saturated at two values, where half of the rows are ties, one in 2^8.
FEW_ROWS = 16
# So many pairs of scores are held against each other in less time than it takes to sort out the classes first.
FEW_SCORES = 2**17


def winners(scores: Tensor) -> set[int]:
    """The classes that are above all others in some row, of rows (N, K) of at least single precision, K at least 2."""
    best, second = scores.topk(2, dim=1).values.unbind(dim=1)
    return set(scores.argmax(dim=1)[best > second].tolist())


def classes_behind(scores: Tensor) -> dict[int, int]:
    """Classes that win in no row, each with the one that it is below most often of those whose score is never lower.

    A class that is tied with another in all rows is behind none. Of rows (N, K) without NaN.
    """
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()
    others = sorted(set(range(scores.shape[1])) - winners(scores))
    if not others:
        return {}
    columns = scores.T.contiguous()
    if len(others) * columns.numel() <= FEW_SCORES:
        # Every class is at least as high as itself.
        never_lower = (columns[others].unsqueeze(1) <= columns).all(dim=2).sum(dim=1)
        if not bool((never_lower > 1).any()):
            return {}
    # Saturated scores have thousands of classes that are 0 in every row.
    alike = columns.unique(dim=0, return_inverse=True)[1].tolist()
    rows, few = _highest_ranks(scores), columns[:, :: max(1, len(scores) // FEW_ROWS)].contiguous()
    found: dict[int, int] = {}
    ahead_of: dict[int, int | None] = {}
    for c in others:
        if alike[c] not in ahead_of:
            ahead_of[alike[c]] = _most_often_above(columns, scores[rows[c]], few, c)
        ahead = ahead_of[alike[c]]
        if ahead is not None:
            found[c] = ahead
    return found


def told_by_enough(settings: list[Tensor], behind: dict[int, int], enough: int) -> dict[int, int]:
    """Those that are below the other in a row of at least so many settings.

    Ties are no evidence: a saturated softmax gives most classes exactly 0.
    """
    if not behind:
        return {}
    below, above = torch.tensor(list(behind.items())).unbind(dim=1)
    counts = sum((s[:, below] < s[:, above]).any(dim=0).long() for s in settings)
    assert isinstance(counts, Tensor)
    return {c: d for (c, d), count in zip(behind.items(), counts.tolist(), strict=True) if count >= enough}


def _highest_ranks(scores: Tensor) -> list[int]:
    """For each class the row in which the fewest others are at least as high."""
    # Of rows that are equal in this, the first, in whatever order the least is sought.
    at_least = scores.shape[1] - torch.searchsorted(scores.sort(dim=1).values, scores.contiguous())
    rows = torch.arange(len(scores)).unsqueeze(1)
    found: list[int] = ((at_least * len(scores) + rows).amin(dim=0) % len(scores)).tolist()
    return found


def _most_often_above(columns: Tensor, highest: Tensor, few: Tensor, c: int) -> int | None:
    """The first class that is above ``c`` in the most rows, of those below it in none; None where there is none.

    ``columns`` (K, N) are the scores of each class, ``highest`` (K,) those of the row in which ``c`` ranks highest and
    ``few`` those of a few rows: after these, few classes are left to look at in all rows.
    """
    candidates = (highest >= highest[c]).nonzero().flatten()
    for part in (few, columns):
        candidates = candidates[(part[c] <= part[candidates]).all(dim=1)]
    below = (columns[c] < columns[candidates]).sum(dim=1)
    return int(candidates[below.argmax()]) if bool(below.any()) else None
