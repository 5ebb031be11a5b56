"""How far a right loss may be from its exact value: bounds on rounding, for the value and the gradient of one batch.

The bounds hold for torch's losses and for the usual ways to write them by hand, in any dtype. Standard forward error
analysis (Higham, Accuracy and Stability of Numerical Algorithms, chapters 2 to 4); the exact value is that of the
scores, targets and weights as they are stored, computed in float64 (for float64 itself, in a wider arithmetic).

Units. u = eps / 2 is the unit roundoff of the dtype, v that of its accumulator: torch computes an operation on float16
or bfloat16 in float32 and rounds its result, so v = u for float64 and float32 and 2**-24 for the other two. One
operation on stored numbers errs by u of its result, or by half of the smallest subnormal where the result underflows.
exp, log, log1p and sigmoid are taken to be good to 2 u of their result (1 ulp).

A sum of n terms that are added one by one has an error of at most (n - 1) v sum|x|, as each term passes at most n - 1
roundings. So torch's kernels add over the classes of dense scores, and equal terms round to the same side, so this is
reached to a fraction, not only in theory. Over rows torch adds in a cascade (cascade_sum, and the same in nll_loss):
blocks of 16, or of 2**(log2(n) / 4) where that is more, then the blocks in the same way, in up to 16 lanes; a term
passes at most r(n) = min(n - 1, 16 ceil(log16 n) + 16) roundings up to n = 65536. In float16 and bfloat16 nll_loss adds
in the dtype itself, which costs r(n) u on top. Rows that a loop adds one by one are within this bound up to n = 49.

Cross entropy of a row, with L = logsumexp(z), l_j = z_j - L and p_j = exp(l_j):

- z_j - max errs by u |z_j - max|, at most u |l_j|. In sum_j exp(z_j - max) that error is weighted by p_j, so its share
  is sum_j p_j |z_j - max| u, at most u log K (the entropy of p), and exp adds 2 u. The sum itself adds (K - 1) v. The
  logarithm turns the relative error of its argument into an absolute one and adds 2 u log K.
- l_j is two differences more. (z_j - max) - log sum rounds to u |l_j|, twice where it is stored. Where the code takes
  logsumexp(z) - z_j, as many do by hand, L is rounded to u |L| as often.
- Together l_j is good to e_j = u (3 |l_j| + 2 |L| + 3 log K + 3) + (K - 1) v: it is the magnitude of the scores that
  counts, not of the loss. For a constant row of 1000 in float32 that is 1.2e-4.
- The row's loss is sum_j t_j |l_j|, where t_j is the target's share of class j times its weight. Each of the products,
  of which smoothing makes three, adds u; for hard targets the sum has one term.
- The gradient is p_j T - t_j with T = sum_j t_j. exp turns the absolute error e_j of l_j into the factor
  exp(e_j) - 1 on p_j; T, the products, the difference and its storage add some u of their results.

BCE with logits of one score: torch takes (1 - y) z - q log sigmoid(z) with q = (pos_weight - 1) y + 1, and the weight w
times it. So errors are relative to |z| + log 2 and not to the loss, and to c = w (max(pos_weight, 1) y + 1 - y) where
pos_weight is below 1. Two products, the logarithm (5 roundings of it stored), the difference and the weight make
9 u c (|z| + log 2). The gradient is a difference of terms no larger than c, and errs by 10 u c.

NLL of stored log-probabilities is one product, and the sum; its gradient is the weight, over what the mean divides by.
BCE of stored probabilities: log p is good to 2 u |log p|, and 1 - p is rounded where log1p is not used, which costs u.
Its gradient (p - y) / max(p (1 - p), 1e-12) is five operations on terms without cancellation but p - y, which is
rounded once: it is good to a relative 8 u. Log is clamped at -100, and 1e-12 is a float32, in the exact value too.

Many write BCE, and CE of two classes, with softplus, which torch takes as the identity above 20: a margin m beyond
that costs exp(-|m|), in value and gradient, which shows in float64 only.

The mean. The sum over rows is as above; the quotient adds u; where CE and NLL divide by the sum of the weights, that
sum errs as a sum does, in value and gradient.

Underflow. An intermediate result may lose d / 2 with d the smallest subnormal of float16, or d, the smallest normal
number of any other dtype, as a vectorised exp may flush what is below. What follows multiplies it by the largest weight
at most. In the gradient of CE four results follow one another (smoothed and unsmoothed part, their sum, the difference
with p_j T), and what is lost in each of T's terms comes back times p_j.

Overflow. torch sums before it divides. Where the sum of what it adds exceeds the dtype, an infinite value is right, and
the bound is infinite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Reduction = str
LOG2 = math.log(2)
# BCELoss takes no logarithm below LEAST_LOG, and no quotient by less than SMALLEST_VARIANCE.
LEAST_LOG = -100.0
# F.softplus is the identity above this.
SOFTPLUS_LINEAR = 20.0
SMALLEST_VARIANCE = 9.999999960041972e-13
# A vectorised sum ends with so many partial sums, which are added one by one.
LANES = 16


@dataclass(frozen=True)
class Bound:
    """Bounds on the absolute errors, in float64.

    ``value`` has the shape of the loss: () for "mean" and "sum", that of the rows for "none". ``gradient`` has the
    shape of the scores; for "none" it is that of the sum of all rows.
    """

    value: Tensor
    gradient: Tensor


@dataclass(frozen=True)
class _Units:
    """The constants u, v and d of a dtype, and its largest number."""

    u: float
    v: float
    d: float
    largest: float

    def summing(self, terms: int, *, stored: bool) -> float:
        """The relative error of a sum over rows; ``stored`` where partial sums are kept in the dtype itself."""
        return _roundings(terms) * (self.v + (self.u if stored and self.u != self.v else 0))


def _roundings(terms: int) -> int:
    """r(n) of the module's docstring."""
    if terms < 2:
        return 0
    block = 1 << max(4, math.ceil(math.ceil(math.log2(terms)) / 4))
    levels, reached = 1, block
    while reached < terms:
        levels, reached = levels + 1, reached * block
    return min(terms - 1, block * levels + LANES)


def _units(dtype: torch.dtype) -> _Units:
    limits = torch.finfo(dtype)
    half = dtype in (torch.float16, torch.bfloat16)
    v = torch.finfo(torch.float32).eps / 2 if half else limits.eps / 2
    d = limits.tiny * (limits.eps if dtype == torch.float16 else 1)
    return _Units(limits.eps / 2, v, d, limits.max)


def cross_entropy_bound(
    scores: Tensor,
    targets: Tensor,
    *,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Bound:
    """Bounds for cross entropy of ``scores`` (N, K, *dense) in their dtype, with torch's arguments.

    Args:
        scores: of the dtype in question.
        targets: int64 class indices (N, *dense), or probabilities (N, K, *dense).
        weight: of the classes, (K,).
        label_smoothing: the share of each target that is spread over all classes.
        ignore_index: rows with this label do not count; at least one other must be there for a mean.
        reduction: "mean", "sum" or "none".
    """
    unit, classes = _units(scores.dtype), scores.shape[1]
    z = scores.double()
    weights = torch.ones(classes, dtype=torch.float64) if weight is None else weight.double()
    weights = weights.view(1, -1, *(1 for _ in scores.shape[2:]))
    kept, hard = _rows(scores, targets, ignore_index)
    shares = ((1 - label_smoothing) * hard + label_smoothing / classes) * weights * kept
    smooth = weights * kept * (label_smoothing > 0)

    normalised = torch.logsumexp(z, dim=1, keepdim=True)
    logs = (z - normalised).abs()
    off = unit.u * (3 * logs + 2 * normalised.abs() + 3 * math.log(classes) + 3) + (classes - 1) * unit.v
    tail = _by_softplus(z[:, 1:] - z[:, :1]) if classes == 2 else torch.zeros_like(normalised)
    # A product with a share adds u, a sum over several shares of a row adds as many v.
    several = (classes - 1) * unit.v if label_smoothing or targets.is_floating_point() else 0.0
    rows = (shares * (off + tail + logs * (4 * unit.u + several))).sum(1)
    exact = (shares * logs).sum(1)

    total = shares.sum(1, keepdim=True)
    p = torch.exp(-logs)
    slopes = (
        total * (p * (torch.expm1(off) + 6 * unit.u + several) + tail)
        + 6 * unit.u * shares
        + 2 * unit.u * (p * total - shares).abs()
    )
    heaviest = float(weights.max().clamp(min=1))
    if targets.is_floating_point():
        normaliser, uneven = torch.tensor(float(kept.sum()), dtype=torch.float64), 0.0
    else:
        normaliser = (hard * weights * kept).sum()
        uneven = unit.summing(int(kept.sum()), stored=True) if weight is not None else 0.0
    return _reduced(
        unit,
        rows,
        exact,
        slopes,
        (p * total - shares).abs(),
        reduction=reduction,
        normaliser=normaliser,
        uneven=uneven,
        lost=heaviest * kept.squeeze(1),
        lost_slopes=2 * heaviest * (1 + classes * p) * kept,
        added=torch.maximum(exact, (smooth * logs).sum(1)),
        stored=True,
    )


def nll_bound(
    log_probabilities: Tensor,
    targets: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Bound:
    """Bounds for NLL of stored log-probabilities (N, K, *dense), class indices (N, *dense), with torch's arguments."""
    unit, classes = _units(log_probabilities.dtype), log_probabilities.shape[1]
    weights = torch.ones(classes, dtype=torch.float64) if weight is None else weight.double()
    weights = weights.view(1, -1, *(1 for _ in log_probabilities.shape[2:]))
    kept, hard = _rows(log_probabilities, targets, ignore_index)
    shares = hard * weights * kept
    exact = (shares * log_probabilities.double().abs().nan_to_num()).sum(1)
    return _reduced(
        unit,
        2 * unit.u * exact,
        exact,
        torch.zeros_like(shares),
        shares,
        reduction=reduction,
        normaliser=shares.sum(),
        uneven=unit.summing(int(kept.sum()), stored=True) if weight is not None else 0.0,
        lost=kept.squeeze(1),
        lost_slopes=hard * kept * (reduction == "mean"),
        added=exact,
        stored=True,
    )


def bce_with_logits_bound(
    scores: Tensor,
    targets: Tensor,
    *,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Bound:
    """Bounds for BCE with logits of ``scores``, targets in [0, 1] of their shape, with torch's arguments."""
    unit, z, y = _units(scores.dtype), scores.double(), targets.double()
    w = torch.ones_like(z) if weight is None else weight.double().expand_as(z)
    positive = torch.ones_like(z) if pos_weight is None else pos_weight.double().expand_as(z)
    on, off = w * y * positive, w * (1 - y)
    exact = on * F.softplus(-z) + off * F.softplus(z)
    slope = off * torch.sigmoid(z) - on * torch.sigmoid(-z)
    size = w * (y * positive.clamp(min=1) + 1 - y)
    heaviest = (w * positive).clamp(min=1)
    return _reduced(
        unit,
        size * (9 * unit.u * (z.abs() + LOG2) + _by_softplus(z)),
        exact,
        size * (10 * unit.u + _by_softplus(z)),
        slope.abs(),
        reduction=reduction,
        normaliser=torch.tensor(float(z.numel()), dtype=torch.float64),
        uneven=0.0,
        lost=heaviest,
        lost_slopes=heaviest,
        added=exact,
        stored=False,
    )


def bce_bound(
    probabilities: Tensor, targets: Tensor, *, weight: Tensor | None = None, reduction: Reduction = "mean"
) -> Bound:
    """Bounds for BCE of stored probabilities, targets in [0, 1] of their shape, with torch's arguments."""
    unit, p, y = _units(probabilities.dtype), probabilities.double(), targets.double()
    w = torch.ones_like(p) if weight is None else weight.double().expand_as(p)
    on, off = w * y, w * (1 - y)
    exact = on * -p.log().clamp(min=LEAST_LOG) + off * -torch.log1p(-p).clamp(min=LEAST_LOG)
    variance = (p * (1 - p)).clamp(min=SMALLEST_VARIANCE)
    slope = w * (p - y).abs() / variance
    bound = _reduced(
        unit,
        unit.u * (5 * exact + off),
        exact,
        8 * unit.u * slope,
        slope,
        reduction=reduction,
        normaliser=torch.tensor(float(p.numel()), dtype=torch.float64),
        uneven=0.0,
        lost=w.clamp(min=1),
        # What p - y, p (1 - p) or 1e-12 lose below the dtype is divided by p (1 - p).
        lost_slopes=w.clamp(min=1) / variance + slope / variance,
        added=exact,
        stored=False,
    )
    # float16 holds neither 1e-12 nor what is divided by it.
    beyond = (w.clamp(min=1) * (p - y).abs() / variance > unit.largest) | (variance < unit.d)
    return Bound(bound.value, bound.gradient.masked_fill(beyond, math.inf))


def _by_softplus(margin: Tensor) -> Tensor:
    """What torch's softplus leaves out at this margin or at its negative."""
    return torch.exp(-margin.abs()) * (margin.abs() > SOFTPLUS_LINEAR)


def _rows(scores: Tensor, targets: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Which rows count, (N, 1, *dense), and the target as probabilities, (N, K, *dense), both float64."""
    if targets.is_floating_point():
        return torch.ones_like(scores[:, :1], dtype=torch.float64), targets.double()
    kept = targets != ignore_index
    hard = F.one_hot(targets.where(kept, torch.zeros_like(targets)), scores.shape[1]).movedim(-1, 1).double()
    return kept.unsqueeze(1).double(), hard


def _reduced(
    unit: _Units,
    rows: Tensor,
    exact: Tensor,
    slopes: Tensor,
    exact_slopes: Tensor,
    *,
    reduction: Reduction,
    normaliser: Tensor,
    uneven: float,
    lost: Tensor,
    lost_slopes: Tensor,
    added: Tensor,
    stored: bool,
) -> Bound:
    """The bounds of the rows put together.

    Args:
        unit: the dtype's constants.
        rows: error of each row's loss, ``exact`` the absolute value of that loss.
        exact: see ``rows``.
        slopes: error of each entry of the gradient of the sum, ``exact_slopes`` its absolute value.
        exact_slopes: see ``slopes``.
        reduction: "mean", "sum" or "none".
        normaliser: what the mean divides by, and ``uneven`` its relative error.
        uneven: see ``normaliser``.
        lost: how often d is lost in a row's loss, ``lost_slopes`` in an entry of the gradient.
        lost_slopes: see ``lost``.
        added: what torch adds up before it scales.
        stored: whether partial sums are kept in the dtype.
    """
    largest = unit.largest
    if reduction == "none":
        value = (rows + unit.d * lost).masked_fill(added > largest, math.inf)
        return Bound(value, slopes + unit.d * lost_slopes)
    summed = rows.sum() + exact.sum() * unit.summing(exact.numel(), stored=stored) + unit.d * lost.sum()
    overflows = bool(added.sum() > largest)
    if reduction == "sum":
        value = summed + 2 * unit.u * exact.sum()
        gradient = slopes + unit.d * lost_slopes
    else:
        by = 2 * unit.u + uneven
        value = (summed + exact.sum() * by) / normaliser + unit.d
        gradient = (slopes + exact_slopes * by) / normaliser + unit.d * lost_slopes
        overflows = bool(added.sum() > largest * normaliser.clamp(max=1)) or bool(normaliser > largest)
    return Bound(torch.full_like(value, math.inf) if overflows else value, gradient)
