"""Classes whose score is never above that of some other class, however the parameters are set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

import torch
from torch import Tensor

# Where classes have nothing to do with each other, one in 2^16 pairs keeps its order in so many rows; of scores that
# are saturated at two values, where half of the rows are ties, one in 2^8.
FEW_ROWS = 16
# So few are held against all others in less time than it takes to sort these first.
FEW_CLASSES = 128
# So many pairs of scores are looked at at once.
FEW_SCORES = 2**17


def winners(scores: Tensor) -> set[int]:
    """The classes that are above all others in some row, of rows (N, K) of at least single precision, K at least 2."""
    best, second = scores.topk(2, dim=1).values.unbind(dim=1)
    return set(scores.argmax(dim=1)[best > second].tolist())


def clear_rows(scores: Tensor) -> Tensor:
    """The rows (N, K) of scores (N, K, ...), without those that have NaN or plus infinity."""
    rows = scores.movedim(1, -1).flatten(0, -2)
    return rows[~(rows.isnan() | (rows == torch.inf)).any(dim=1)]


def winning_rows(rows: Tensor) -> Tensor:
    """Of :func:`clear_rows` the first for each class that is above all others in one, in the order of the classes."""
    best, second = rows.topk(2, dim=1).values.unbind(dim=1)
    (where,) = (best > second).nonzero(as_tuple=True)
    won = rows[where].argmax(dim=1)
    first = where.new_full((rows.shape[1],), len(rows)).scatter_reduce(0, won, where, "amin")
    return rows[first[first < len(rows)]]


def below(found: Mapping[int, int | None]) -> dict[int, int]:
    """Those of :func:`never_above` that are below the other somewhere: one that is tied in all rows is behind none."""
    return {c: d for c, d in found.items() if d is not None}


def never_above(scores: Tensor, among: Collection[int] | None = None) -> dict[int, int | None]:
    """Classes that some other is never below, each with the one that it is below most often; None for ties alone.

    Args:
        scores: rows (N, K) without NaN.
        among: the classes that this found in some of these rows, for no other class can be one; by default all.
    """
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()
    others = sorted((set(range(scores.shape[1])) if among is None else set(among)) - winners(scores))
    if not others:
        return {}
    columns = scores.T.contiguous()
    few = columns[:, :: max(1, len(scores) // FEW_ROWS)].contiguous()
    if len(others) <= FEW_CLASSES:
        each = {c: _never_lower(columns, few, c) for c in others}
        # Every class is at least as high as itself.
        return {c: _most_often_above(columns, c, found) for c, found in each.items() if len(found) > 1}
    # Saturated scores have thousands of classes that are 0 in every row.
    alike = columns.unique(dim=0, return_inverse=True)[1].tolist()
    rows, counts = _highest_ranks(scores)
    by_row: dict[int, list[int]] = defaultdict(list)
    for c in {alike[c]: c for c in reversed(others)}.values():
        by_row[rows[c]].append(c)
    ahead: dict[int, int | None] = {}
    for row, classes in by_row.items():
        order = scores[row].argsort(descending=True)
        classes.sort(key=counts.__getitem__)
        step = max(1, FEW_SCORES // (counts[classes[-1]] * few.shape[1]))
        for start in range(0, len(classes), step):
            some = classes[start : start + step]
            at_least = order[: counts[some[-1]]], torch.tensor([counts[c] for c in some])
            for c, candidates in _others_never_lower(columns, few, some, *at_least):
                ahead[alike[c]] = _most_often_above(columns, c, candidates)
    return {c: ahead[alike[c]] for c in others if alike[c] in ahead}


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


def _highest_ranks(scores: Tensor) -> tuple[list[int], list[int]]:
    """For each class the row in which the fewest are at least as high, and how many are, itself among them."""
    # Of rows that are equal in this, the first, in whatever order the least is sought.
    at_least = scores.shape[1] - torch.searchsorted(scores.sort(dim=1).values, scores.contiguous())
    least = (at_least * len(scores) + torch.arange(len(scores)).unsqueeze(1)).amin(dim=0)
    return (least % len(scores)).tolist(), (least // len(scores)).tolist()


def _never_lower(columns: Tensor, few: Tensor, c: int) -> Tensor:
    """The classes that are never below ``c``, itself among them; ``few`` are the scores of a few rows."""
    found = (few[c] <= few).all(dim=1).nonzero().flatten()
    return found[(columns[c] <= columns[found]).all(dim=1)]


def _others_never_lower(
    columns: Tensor, few: Tensor, classes: list[int], order: Tensor, counts: Tensor
) -> Iterator[tuple[int, Tensor]]:
    """The classes that some other is never below, with these others.

    ``columns`` (K, N) are the scores of each class, ``few`` (K, n) those of a few rows, after which few pairs are left.
    Of ``order`` the first ``counts`` are at least as high where the class ranks highest.
    """
    found = (few[classes].unsqueeze(1) <= few[order]).all(dim=2) & (torch.arange(len(order)) < counts.unsqueeze(1))
    which, places = found.nonzero().unbind(dim=1)
    lower, higher = torch.tensor(classes)[which], order[places]
    others = lower != higher
    lower, higher = lower[others], higher[others]
    never = (columns[lower] <= columns[higher]).all(dim=1)
    lower, higher = lower[never], higher[never]
    some, sizes = lower.unique_consecutive(return_counts=True)
    for c, candidates in zip(some.tolist(), higher.split(sizes.tolist()), strict=True):
        yield c, candidates.sort().values


def _most_often_above(columns: Tensor, c: int, candidates: Tensor) -> int | None:
    """The first candidate that is above ``c`` in the most rows; None where there is none. ``columns`` are (K, N)."""
    rows = (columns[c] < columns[candidates]).sum(dim=1)
    return int(candidates[rows.argmax()]) if bool(rows.any()) else None
