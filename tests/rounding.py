"""Drawn batches for the rounding bounds: torch's loss, its exact value, and the ratio of the error to its bound.

The exact value is computed with numpy's long double, of 64 bits or more where a double has 53, from the scores,
targets and weights as they are stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from pytest_logits.tolerances import Bound, bce_bound, bce_with_logits_bound, cross_entropy_bound, nll_bound

WIDE = np.longdouble
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
REDUCTIONS = ("mean", "sum", "none")
FAMILIES = ("cross_entropy", "nll", "bce_with_logits", "bce")
# Sums of a few such scores stay within the dtype.
LARGEST = {torch.float64: 1e5, torch.float32: 1e5, torch.bfloat16: 1e4, torch.float16: 1e4}
KINDS = ("normal", "shifted", "ties", "constant", "zeros", "margin", "subnormal", "integers")


@dataclass(frozen=True)
class Case:
    """One call of a loss: torch's function with its arguments, and the bound."""

    family: str
    kind: str
    scores: Tensor
    targets: Tensor
    arguments: dict[str, Any]

    @property
    def reduction(self) -> str:
        return str(self.arguments["reduction"])


LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": F.cross_entropy,
    "nll": F.nll_loss,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
    "bce": F.binary_cross_entropy,
}
BOUNDS: dict[str, Callable[..., Bound]] = {
    "cross_entropy": cross_entropy_bound,
    "nll": nll_bound,
    "bce_with_logits": bce_with_logits_bound,
    "bce": bce_bound,
}


def draw(family: str, dtype: torch.dtype, reduction: str, rng: Generator, *, longest: int = 1000) -> Case:
    """A batch with up to ``longest`` rows and classes, of every kind of scores and with every argument of the loss."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=rng))

    def one_of(options: Any) -> Any:
        return options[int(torch.randint(len(options), (), generator=rng))]

    def length() -> int:
        return one_of((1, 2, 3, round(longest ** uniform(0, 1)), round(longest ** uniform(0, 1)), longest))

    rows, classes = length(), max(length(), 2)
    while rows * classes > max(longest, 20_000):
        rows, classes = length(), max(length(), 2)
    shape = (rows, classes)
    if family != "bce" and one_of((False, False, True)):
        shape = (math.ceil(rows / 3), classes, 3)
    kind = one_of(KINDS)
    z = _scores(kind, shape, uniform(0, 1), LARGEST[dtype], torch.finfo(dtype), rng)
    arguments: dict[str, Any] = {"reduction": reduction}

    def weights(*size: int) -> Tensor:
        drawn = 10 ** (3 * torch.rand(size, generator=rng) - 2)
        return (drawn * (torch.rand(size, generator=rng) < one_of((0.9, 1.0)))).clamp(min=0).to(dtype)

    if family in ("cross_entropy", "nll"):
        labels = torch.randint(classes, (shape[0], *shape[2:]), generator=rng)
        if one_of((False, True)):
            labels = torch.full_like(labels, one_of(range(classes)))
        if one_of((False, True)):
            arguments["weight"] = weights(classes)
        soft = family == "cross_entropy" and one_of((False, False, True))
        if family == "cross_entropy" and one_of((False, True)):
            arguments["label_smoothing"] = one_of((0.1, 0.01, 0.5))
        if not soft and one_of((False, True)):
            labels[torch.rand(labels.shape, generator=rng) < 0.3] = -100
        if not soft:
            # At least one row counts, and its class has a weight.
            labels.view(-1)[0] = 0
            if "weight" in arguments:
                arguments["weight"][0] = one_of((1.0, 3.0, 0.1))
        targets = torch.softmax(3 * torch.randn(shape, generator=rng), 1).to(dtype) if soft else labels
        scores = torch.log_softmax(z, dim=1).to(dtype) if family == "nll" else z.to(dtype)
        return Case(family, kind, scores, targets, arguments)
    targets = torch.rand(shape, generator=rng)
    targets = (targets if one_of((False, True)) else targets.round()).to(dtype)
    if one_of((False, True)):
        arguments["weight"] = weights(*one_of((shape, shape[1:])))
    if family == "bce_with_logits" and one_of((False, True)):
        arguments["pos_weight"] = weights(*shape[1:])
    scores = torch.sigmoid(z).to(dtype) if family == "bce" else z.to(dtype)
    return Case(family, kind, scores, targets, arguments)


def _scores(
    kind: str, shape: tuple[int, ...], share: float, largest: float, limits: torch.finfo, rng: Generator
) -> Tensor:
    """Float64 scores of one kind; ``share`` in [0, 1] sets their magnitude, from .1 to a quarter of ``largest``."""
    scale = 10 ** (share * (math.log10(largest / 4) + 1) - 1)
    normal = torch.randn(shape, generator=rng, dtype=torch.float64).clamp(-4, 4)
    if kind == "zeros":
        return torch.zeros(shape, dtype=torch.float64)
    if kind == "constant":
        return (normal.flatten()[0] * scale).expand(shape).clone()
    if kind == "ties":
        # Rows alike and two values in each: equal terms round to the same side.
        high = torch.rand((1, *shape[1:]), generator=rng) < 0.5
        return torch.where(high, 0.0, -min(scale, 8.0)).double().expand(shape).clone()
    if kind == "shifted":
        return normal + scale
    if kind == "margin":
        z = normal.clone()
        z.view(-1)[torch.randint(z.numel(), (max(1, z.numel() // 3),), generator=rng)] = scale * (1 - 2 * (share > 0.5))
        return z
    if kind == "subnormal":
        return normal * limits.tiny
    if kind == "integers":
        return normal.round()
    return normal * scale


def wide(tensor: Tensor) -> Any:
    """The stored numbers as long doubles."""
    return tensor.detach().double().numpy().astype(WIDE)


def exact(case: Case) -> tuple[Any, Any]:
    """Value and gradient of the sum in long doubles; shapes as in ``Bound``."""
    z = wide(case.scores)
    with np.errstate(all="ignore"):
        if case.family in ("cross_entropy", "nll"):
            value, gradient, normaliser = _over_classes(case, z)
        else:
            value, gradient, normaliser = _over_bits(case, z)
        if case.reduction == "none":
            return value, gradient
        by = normaliser if case.reduction == "mean" else WIDE(1)
        return value.sum() / by, gradient / by


def _over_classes(case: Case, z: Any) -> tuple[Any, Any, Any]:
    classes, trailing = z.shape[1], (1,) * (z.ndim - 2)
    given = case.arguments.get("weight")
    weight = (np.ones(classes, WIDE) if given is None else wide(given)).reshape(1, classes, *trailing)
    if case.targets.is_floating_point():
        kept, target = np.ones_like(z[:, :1]), wide(case.targets)
        normaliser = WIDE(kept.size)
    else:
        kept = wide((case.targets != -100).unsqueeze(1))
        target = wide(F.one_hot(case.targets.clamp(min=0), classes).movedim(-1, 1))
        normaliser = (weight * target * kept).sum()
    eps = WIDE(case.arguments.get("label_smoothing", 0.0))
    shares = ((1 - eps) * target + eps / classes) * weight * kept
    if case.family == "nll":
        return -(np.where(shares == 0, 0, shares * z)).sum(1), -shares, normaliser
    top = z.max(1, keepdims=True)
    logs = z - top - np.log(np.exp(z - top).sum(1, keepdims=True))
    return -(shares * logs).sum(1), np.exp(logs) * shares.sum(1, keepdims=True) - shares, normaliser


def _over_bits(case: Case, z: Any) -> tuple[Any, Any, Any]:
    y = wide(case.targets)
    given, positive = case.arguments.get("weight"), case.arguments.get("pos_weight")
    w = WIDE(1) if given is None else wide(given)
    on, off = w * y * (WIDE(1) if positive is None else wide(positive)), w * (1 - y)
    if case.family == "bce":
        value = -on * np.maximum(np.log(z), -100) - off * np.maximum(np.log1p(-z), -100)
        return value, w * (z - y) / np.maximum(z * (1 - z), WIDE(np.float32(1e-12))), WIDE(z.size)
    below = np.log1p(np.exp(-abs(z)))
    value = on * (np.maximum(-z, 0) + below) + off * (np.maximum(z, 0) + below)
    small = np.exp(-abs(z)) / (1 + np.exp(-abs(z)))
    s, rest = np.where(z >= 0, 1 - small, small), np.where(z >= 0, small, 1 - small)
    return value, off * s - on * rest, WIDE(z.size)


def ratios(case: Case) -> tuple[float, float]:
    """The largest error of the value and of the gradient of torch's loss, each in units of its bound."""
    leaf = case.scores.clone().requires_grad_()
    value = LOSSES[case.family](leaf, case.targets, **case.arguments)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    bound = BOUNDS[case.family](case.scores, case.targets, **case.arguments)
    wanted, wanted_gradient = exact(case)
    return _ratio(value, wanted, bound.value), _ratio(gradient, wanted_gradient, bound.gradient)


def _ratio(found: Tensor, wanted: Any, bound: Tensor) -> float:
    """The largest error over its bound. Where the bound is infinite torch may give what it likes."""
    limit = bound.numpy().astype(WIDE)
    with np.errstate(all="ignore"):
        error = abs(wide(found) - wanted)
        ratio = np.where(np.isinf(limit), 0, np.where(error == 0, 0, error / limit))
    # A NaN where a number was due is outside every bound.
    return float(np.nan_to_num(ratio, nan=math.inf).max())
