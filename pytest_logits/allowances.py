"""What a loss written by hand is allowed beside rounding, and how near two numbers are that count as equal.

Rounding is bounded in ``tolerances``. What is here follows from how losses are recognised (``loss_forms``): a few
numbers are fitted on drawn scores and held against other draws.

Guards. Many add a small number inside a logarithm, or clamp the probability: of 20 such lines that a search of public
code gave, 1e-12 to 1e-5 in 19 and 1e-4 in one. A loss that is recognised to rounding has a guard g that did not show on
any draw, so g is no larger than the least p, or 1 - p, that the draws had for a label. That number is the guard that is
allowed (``guard_of``); it is no choice. A guard takes log(1 + g / p) off a term, and the share g / p off its slope.

Recognition. The misfit of a right form is rounding, at most EXACT of how much the loss varies: the fit solves for
at most 25 numbers on twice as many draws and 8 more, and multiplies the rounding of one value (a few u) by the
condition of that system. A guard of 1e-8 makes up to 4e-4 of it. Another form, or another loss, misses by a share of
the loss. ``python -m benchmarks.separation`` measures both on all losses of tests/zoo/own_losses; RECOGNISED lies
between.

Fitted numbers are good to about the misfit, so coefficients of rows are equal within RECOGNISED, and shares, which are
compared with sums of each other, within twice that. A mistake moves a coefficient of a batch of 5 by a fifth or more.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Relative to how much the loss varies over the draws.
RECOGNISED = 1e-3
EXACT = {torch.float64: 1e-9, torch.float32: 1e-5}


def guard_of(probabilities: Tensor, complements: Tensor) -> float:
    """The largest guard that may not have shown on draws, float64 (draws, terms) of p and of 1 - p.

    A term shows a guard once p, or 1 - p, is below it on one of its draws; that of another term may still be higher.
    """
    return float(torch.maximum(probabilities.amin(dim=0), complements.amin(dim=0)).max())


def focal_weights(
    terms: Tensor, factors: Tensor, gamma: float, *, error: Tensor, guard: float = 0.0
) -> tuple[Tensor, Tensor]:
    """What the slope of each term l = -log p of a focal loss is multiplied by, and a bound on its error.

    (1 - p) ** gamma l has in l the slope g = q ** gamma + gamma q ** (gamma - 1) p l, with q = 1 - p and dq/dl = p. An
    error d of q changes q ** a by |a| d times the largest x ** (a - 1) within d of q, and p by d; an error e of l
    counts once more. Where q is no larger than d and a - 1 is below 0 nothing is known, and the bound is infinite.

    Args:
        terms: l, float64.
        factors: q of each.
        gamma: above 0.
        error: e, of the terms; rounding takes q as far from its value.
        guard: what p may be off besides, where it is guarded or clamped.
    """
    q, off = factors.clamp(min=0), error + guard
    p = torch.exp(-terms)

    def steepest(power: float) -> Tensor:
        reached = q + off if power >= 0 else q - off
        return torch.where(reached > 0, reached.clamp(min=1e-300) ** power, torch.inf)

    weights = q**gamma + gamma * torch.where(q > 0, q ** (gamma - 1), 0.0) * p * terms
    unsure = gamma * steepest(gamma - 1) * (off + off * terms + p * error)
    if gamma != 1:
        unsure = unsure + gamma * abs(gamma - 1) * steepest(gamma - 2) * off * p * terms
    return weights, unsure.nan_to_num(torch.inf, torch.inf) + error * weights
