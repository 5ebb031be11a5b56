"""An activation inside a loss of the user's own: which one, found by fitting what the loss computes.

One row at a time, a loss over classes that applies an activation itself is ``a * CE_y(s * f(t * z))`` plus
``b * mean_k CE_k(s * f(t * z))``: ``a`` holds the class weight and the reduction, ``b`` label smoothing, ``s`` and
``t`` are temperatures, one of them 1, ``f`` is the activation. On drawn logits these few numbers are fitted, and held
against other draws. A loss that fits without an activation has none. ``b`` is not negative, so that the mean absolute
error of probabilities, which is sound, fits none of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from pytest_logits.losses import Form, LossFunction

FITTED, HELD_OUT = 12, 8
# What the fit may be off on other draws, relative to how much the loss varies: float32 rounds a loss of 10 at 1e-6.
OFF = 1e-3
SCALES = tuple(10 ** (exponent / 8) for exponent in range(-8, 17))
REFINED = 24
FOCAL = (1.0, 2.0, 3.0, 5.0)

Activation = Callable[[Tensor], Tensor]


def activation_inside(
    loss: LossFunction, *, trailing: tuple[int, ...], form: Form, multilabel: bool, dtype: torch.dtype, seed: int
) -> str | None:
    """The cause that a loss of the user's own has in itself, or None.

    Args:
        loss: ``(scores, labels) -> scalar``.
        trailing: shape of the scores of one example: (K, ...), (1,) or ().
        form: what the loss is over.
        multilabel: labels are multi-hot (N, K).
        dtype: of the scores.
        seed: of the draws.
    """
    rng = torch.Generator().manual_seed(seed)
    width = trailing[0] if trailing else 1
    over_batch = _over_batch(loss, trailing, form, dtype, rng) if width > 1 and form == "categorical" else None
    if over_batch is not None:
        return over_batch
    scores = [(2 * torch.randn((1, *trailing), generator=rng)).to(dtype) for _ in range(FITTED + HELD_OUT)]
    found = {_cause(loss, scores, labels, form) for labels in _labels(trailing, form, multilabel=multilabel)}
    return found.pop() if len(found) == 1 else None


def _labels(trailing: tuple[int, ...], form: Form, *, multilabel: bool) -> Iterator[Tensor]:
    """Labels of one row: a few classes in turn, or two patterns of several labels."""
    dense = trailing[1:]
    if multilabel:
        for start in (0, 1):
            yield ((torch.arange(trailing[0]) + start) % 2).unsqueeze(0)
        return
    width = trailing[0] if trailing else 1
    for label in range(2) if form == "bernoulli" else sorted({0, 1, width - 1}):
        yield torch.full((1, *dense), label)


def _cause(loss: LossFunction, scores: list[Tensor], labels: Tensor, form: Form) -> str | None:
    try:
        values = torch.tensor([float(loss(z, labels)) for z in scores], dtype=torch.float64)
    except (RuntimeError, ValueError, IndexError):
        return None
    spread = float(values.std())
    if not math.isfinite(spread) or spread <= 1e-6 * float(values.abs().max()):
        return None
    wide = scores[0].ndim > 1 and scores[0].shape[1] > 1
    stacked = torch.cat(scores).double()
    parts = _over_classes if form == "categorical" else _over_bits

    def misfit(function: Activation) -> float:
        return _misfit(parts(function(stacked), labels), values) / spread

    if _least_misfit(lambda z: z, misfit) < OFF:
        return None
    suffix = "cross_entropy" if form == "categorical" else "bce_with_logits"
    candidates: dict[str, list[Activation]] = {f"sigmoid_before_{suffix}": [torch.sigmoid]}
    if wide:
        candidates[f"softmax_before_{suffix}"] = [lambda z: F.softmax(z, dim=1)]
    candidates["bounded_logits"] = [torch.tanh, torch.relu]
    for cause, activations in candidates.items():
        for activation in activations:
            if _least_misfit(activation, misfit) < OFF:
                return cause
            if form == "categorical" and _is_focal(activation(stacked), labels, values, spread):
                return cause
    if wide and form == "categorical":
        probabilities = -F.softmax(stacked, dim=1).movedim(1, -1)[..., labels.flatten()[0]].reshape(len(values), -1)
        if _misfit([probabilities.mean(dim=1)], values) / spread < OFF:
            return "probabilities_into_nll_loss"
    return None


def _over_classes(scores: Tensor, labels: Tensor) -> list[Tensor]:
    """Cross entropy against the label and against each class in the mean, (draws,) each."""
    each = -F.log_softmax(scores, dim=1).flatten(2) if scores.ndim > 2 else -F.log_softmax(scores, dim=1).unsqueeze(2)
    return [each[:, int(labels.flatten()[0])].mean(dim=1), each.mean(dim=(1, 2))]


def _over_bits(scores: Tensor, labels: Tensor) -> list[Tensor]:
    """BCE against the labels, in its positive and its negative part; those of the other labels for smoothing."""
    flat = scores.reshape(len(scores), -1)
    on = labels.reshape(1, -1).to(flat.dtype)
    if on.shape[1] != flat.shape[1]:
        on = on.expand(1, flat.shape[1])
    true = F.softplus(-flat) * on + F.softplus(flat) * (1 - on)
    false = F.softplus(flat) * on + F.softplus(-flat) * (1 - on)
    if bool((on == on[:, :1]).all()):
        return [true.mean(dim=1), false.mean(dim=1)]
    return [(true * on).mean(dim=1), (true * (1 - on)).mean(dim=1)]


def _misfit(parts: list[Tensor], values: Tensor) -> float:
    """The largest error on the held-out draws of the best non-negative combination of the parts."""
    best = math.inf
    for chosen in (parts, parts[:1]):
        columns = torch.stack(chosen, dim=1)
        weights = torch.linalg.lstsq(columns[:FITTED], values[:FITTED].unsqueeze(1)).solution
        if float(weights[0]) > 0 and bool((weights >= -1e-6 * weights[0]).all()):
            off = (columns[FITTED:] @ weights).squeeze(1) - values[FITTED:]
            best = min(best, float(off.abs().max()))
    return best


def _least_misfit(activation: Activation, misfit: Callable[[Activation], float]) -> float:
    """Over temperatures on either side of the activation: none first, then a grid refined around its best."""
    plain = misfit(activation)
    if plain < OFF:
        return plain
    outer = _refined(lambda scale: misfit(lambda z: scale * activation(z)))
    return outer if outer < OFF else min(outer, _refined(lambda scale: misfit(lambda z: activation(scale * z))))


def _refined(error: Callable[[float], float]) -> float:
    errors = [error(scale) for scale in SCALES]
    best = min(range(len(SCALES)), key=errors.__getitem__)
    low, high = SCALES[max(best - 1, 0)], SCALES[min(best + 1, len(SCALES) - 1)]
    least = errors[best]
    for _ in range(REFINED):
        if least < OFF:
            break
        a, b = low ** (2 / 3) * high ** (1 / 3), low ** (1 / 3) * high ** (2 / 3)
        at_a, at_b = error(a), error(b)
        least = min(least, at_a, at_b)
        low, high = (low, b) if at_a < at_b else (a, high)
    return least


def _is_focal(outputs: Tensor, labels: Tensor, values: Tensor, spread: float) -> bool:
    """Whether the loss is (1 - p) ** gamma times cross entropy, of these outputs."""
    each = _over_classes(outputs, labels)[0]
    if outputs.ndim > 2:
        return False
    return any(_misfit([(1 - torch.exp(-each)) ** gamma * each], values) / spread < OFF for gamma in FOCAL)


def _over_batch(
    loss: LossFunction, trailing: tuple[int, ...], form: Form, dtype: torch.dtype, rng: torch.Generator
) -> str | None:
    """Whether the loss is cross entropy, or NLL, of a softmax along the batch, up to a factor."""
    rows, dense = 4, trailing[1:]
    labels = (torch.arange(rows) % trailing[0]).view(-1, *(1 for _ in dense)).expand(-1, *dense)
    draws = [(2 * torch.randn((rows, *trailing), generator=rng)).to(dtype) for _ in range(FITTED)]
    try:
        values = [float(loss(scores, labels)) for scores in draws]
    except (RuntimeError, ValueError, IndexError):
        return None
    forms: tuple[Activation, ...] = (
        lambda z: F.cross_entropy(F.softmax(z, dim=0), labels),
        lambda z: F.nll_loss(F.log_softmax(z, dim=0), labels),
    )
    for made in forms:
        ratios = [value / float(made(scores)) for value, scores in zip(values, draws, strict=True)]
        if 0 < ratios[0] < math.inf and all(math.isclose(ratio, ratios[0], rel_tol=OFF) for ratio in ratios):
            return "softmax_over_wrong_dim"
    return None
