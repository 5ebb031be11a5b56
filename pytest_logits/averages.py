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
    moving: list[int] = (scores != scores[0]).any(dim=0).nonzero().flatten().tolist()
    if len(moving) < 3:
        return None
    alone = _lowest(scores[:, moving].double())
    candidates = [c for place, c in enumerate(moving) if c not in won and place not in alone]
    if candidates and len(moving) > len(scores) // 2:
        # Too many for weights to be found: only the plain mean is asked about.
        means = {moving[place] for place in _means(settings, moving)}
        candidates = [c for c in candidates if c in means]
    return next((c for c in candidates if _is_average(settings, c, [k for k in moving if k != c])), None)


def may_be_average(settings: list[Tensor]) -> bool:
    """Whether :func:`average_of_others` finds a class in these settings, or might find one in these and more.

    Weights that hold in more settings hold in these. So where even those that fit these best are too far off there are
    none, and few settings show it.
    """
    if len(settings) >= 2 * HELD_OUT_SETTINGS:
        return average_of_others(settings) is not None
    scores = torch.cat(settings).double()
    classes = scores.shape[1]
    if classes < 3:
        return False
    if len(scores) == 0 or bool((scores == scores[0]).all(dim=0).any()):
        return True
    done = set(scores.argmax(dim=1).tolist()) | _lowest(scores)
    return any(_may_hold(_clear(scores, c, _all_but(c, classes))) for c in range(classes) if c not in done)


def _all_but(c: int, classes: int) -> list[int]:
    return [*range(c), *range(c + 1, classes)]


def _may_hold(rows: Tensor) -> bool:
    """Whether weights that sum to 1 may be as near as :func:`_holds` asks in clear rows (n, 1 + others).

    Each row may be off by ``OFF`` of its gap. So as shares of the gaps the sum of the squares is at most n times that
    squared, and least squares gives no more: four times it, to leave room for what rounding adds.
    """
    if len(rows) < rows.shape[1]:
        return True
    shares = rows / _gap(rows).unsqueeze(1)
    last = shares[:, -1:]
    others, score = shares[:, 1:-1] - last, shares[:, :1] - last
    off = others @ torch.linalg.lstsq(others, score).solution - score
    return float(off.square().sum()) <= 4 * OFF**2 * len(rows)


def _lowest(rows: Tensor) -> set[int]:
    """The places of classes that are no average of the others, since they are the lowest of some row by a distance.

    Weights of at least ``-OFF / n`` that sum to 1 give at least the least of the others less ``OFF`` of their span, and
    the score may be ``OFF`` of its distance below that: together ``OFF`` of what the row spans.
    """
    rows = rows[rows.isfinite().all(dim=1)]
    values, places = rows.topk(2, dim=1, largest=False)
    apart = values[:, 1] - values[:, 0] > OFF * (rows.amax(dim=1) - values[:, 0])
    return set(places[apart, 0].tolist())


def _means(settings: list[Tensor], moving: list[int]) -> list[int]:
    """The places in ``moving`` of the classes whose score is the plain mean of the others' in every clear row.

    That is what :func:`_is_average` asks of one class, of all at once: one by one, a thousand classes take seconds.
    """
    holds = torch.ones(len(moving), dtype=torch.bool)
    rows_held_out, settings_held_out = torch.zeros(2, len(moving), dtype=torch.long)
    for number, scores in enumerate(settings):
        rows = scores[:, moving].double()
        rows = rows[rows.isfinite().all(dim=1)]
        if len(rows) == 0:
            continue
        gap = _gaps(rows)
        clear = gap > APART * (rows.amax(dim=1) - rows.amin(dim=1)).unsqueeze(1)
        others = (rows.sum(dim=1, keepdim=True) - rows) / (rows.shape[1] - 1)
        holds &= (~clear | ((rows - others).abs() <= OFF * gap)).all(dim=0)
        if number % 2:
            rows_held_out += clear.sum(dim=0)
            settings_held_out += clear.any(dim=0)
    enough = (rows_held_out >= HELD_OUT) & (settings_held_out >= HELD_OUT_SETTINGS)
    found: list[int] = (holds & enough).nonzero().flatten().tolist()
    return found


def _gaps(rows: Tensor) -> Tensor:
    """How far each score is from the nearest other one of its row."""
    ordered, places = rows.sort(dim=1)
    apart = ordered.diff(dim=1)
    beside = torch.full_like(rows[:, :1], torch.inf)
    nearest = torch.minimum(torch.cat([beside, apart], dim=1), torch.cat([apart, beside], dim=1))
    return torch.empty_like(rows).scatter_(1, places, nearest)


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
