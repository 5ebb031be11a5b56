"""What a loss written by hand is allowed beside rounding, and how near two numbers are that count as equal.

Rounding is bounded in ``tolerances``. What is here follows from how losses are recognised (``loss_forms``): a few
numbers are fitted on drawn scores and held against other draws.

Guards. Many add a small number inside a logarithm, or clamp the probability: of 20 such lines that a search of public
code gave, 1e-12 to 1e-5 in 19 and 1e-4 in one. A loss that is recognised to rounding has a guard that did not show on
any draw. It is measured (``guard_of``): where the true score is as far behind as scores are drawn, the loss is that of
the probability p + g or max(p, g) instead of p, and where it is as far in front, a clamp at 1 - g leaves a loss of g.
A guard g takes log(1 + g / p) off a term, and the share g / p off its slope. None is taken to be smaller than
EXACT of float32: what the dtype that losses are used in could not show of a form is no mistake in float64.

Recognition. The misfit of a right form is rounding, at most EXACT of how much the loss varies: the fit solves for
at most 25 numbers on twice as many draws and 8 more, and multiplies the rounding of one value (a few u) by the
condition of that system. A guard of 1e-8 makes 1.4e-5 of it. Another form, or another loss, misses by a share of
the loss. ``python -m benchmarks.separation`` measures both on the losses of tests/zoo/own_losses: of 458 fits the
largest misfit is 4.5e-4, and 1.0e-14 for those that are exact; of 750 that are none the least is 4.2e-3. RECOGNISED is
the power of ten between (torch 2.13.0).

Fitted numbers are good to about the misfit, so coefficients of rows are equal within RECOGNISED, and shares, which are
compared with sums of each other, within SHARES, twice that. A mistake moves a coefficient of a batch of 5 by a fifth or
more.

Values. Two values of a loss that differ by rounding only, as of the same rows in another order, are apart by at most
``apart``, relative to 1 and to their size: twice the bound of ``tolerances`` for cross entropy with scores up to 10 and
1000 classes. It is largest where the true class leads, as there the loss is 0 and it is the scores that are rounded.
Nothing finer than float32 is asked, as many a loss works in float32 whatever it is given.

Pulls. At equal scores a row has the gradient p - 1 at its own label and p = 1 / K at the others, relative to what it
weighs. So a row that is pulled to another label has 1 / (K - 1) of the largest entry, or more, at its own, and rounding
makes at most the bound of ``tolerances`` of what should be 0 or below. ``wrong_pull`` lies between the two, in the
middle on a logarithmic scale.

``python -m benchmarks.separation`` prints how far the losses of the zoo lie from these two. Of 959 pairs of values that
are not the same number, those that should be equal are at most 7.4e-8 apart, and the others 8.3e-4 or more, where
1.24e-4 is allowed. Of 173 losses with a gradient at equal scores, the 160 that pass have a pull of 0 or below. Two fail
because all their rows have one gradient; the other 11 have 0.11 or more, where 4.9e-4 is allowed for 5 classes.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from pytest_logits.tolerances import cross_entropy_bound

# Relative to how much the loss varies over the draws.
RECOGNISED = 1e-3
SHARES = 2 * RECOGNISED
EXACT = {torch.float64: 1e-9, torch.float32: 1e-5}
# Terms beyond this are those of probabilities so small that only guards are large beside them, as are 1 - p of others.
FAR = 10.0
# exp of this is still a number.
MOST = 700.0
# Of losses whose values are compared. Beyond this score a guard inside a logarithm makes all wrong rows cost the same.
LARGEST_SCORE, MOST_CLASSES = 10.0, 1000


@functools.cache
def apart(dtype: torch.dtype) -> float:
    """How far two values of a loss may be apart that are equal but for rounding, relative to 1 and to their size."""
    leading = torch.full((1, MOST_CLASSES), -LARGEST_SCORE, dtype=_no_finer(dtype))
    leading[0, 0] = LARGEST_SCORE
    return 2 * float(cross_entropy_bound(leading, torch.tensor([0]), reduction="none").value)


def wrong_pull(dtype: torch.dtype, classes: int) -> float:
    """The share of a gradient's largest entry from which on a row is pulled away from its label, at equal scores.

    Args:
        dtype: of the scores.
        classes: K, 2 of single scores.
    """
    equal = torch.zeros((1, classes), dtype=_no_finer(dtype))
    bound = cross_entropy_bound(equal, torch.tensor([0]), reduction="none").gradient
    rounding, mistake = float(bound.max()) / (1 - 1 / classes), 1 / (classes - 1)
    return max(rounding, math.sqrt(rounding * mistake))


def _no_finer(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype == torch.float64 else dtype


def guard_of(shares: Tensor, terms: Tensor, off: float) -> float:
    """The guard that takes ``off``, the loss less its reference, off a row at the far end of the scores.

    Args:
        shares: of the row's terms, float64.
        terms: -log p of each.
        off: below 0 where a guard makes a term smaller.
    """
    least = EXACT[torch.float32]
    if not math.isfinite(off):
        return least
    far, near = terms > FAR, terms < math.exp(-FAR)
    weight = float(shares[far].abs().sum())
    if weight > 0:
        return max(least, math.exp(-float(terms[far].max())) * math.expm1(min(max(-off / weight, 0.0), MOST)))
    weight = float(shares[near].abs().sum())
    return max(least, abs(off) / weight) if weight > 0 else least


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
