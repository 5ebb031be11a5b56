"""An activation inside a loss of the user's own: which one, found by fitting what the loss computes.

One row at a time, a loss over classes that applies an activation itself is ``a * CE_y(s * f(t * z))`` plus
``b * mean_k CE_k(s * f(t * z))``: ``a`` holds the class weight and the reduction, ``b`` label smoothing, ``s`` and
``t`` are temperatures, one of them 1, ``f`` is the activation. On drawn logits these few numbers are fitted, and held
against other draws. A loss that fits without an activation has none. ``b`` is not negative, so that the mean absolute
error of probabilities, which is sound, fits none of them. An activation that leaves the loss a floor of less than a
twentieth of its value at equal scores, such as 10 tanh(z), is a design.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from pytest_logits.losses import Form, LossFunction
from pytest_logits.regions import is_material

FITTED, HELD_OUT = 12, 8
# What the fit may be off on other draws, relative to how much the loss varies: float32 rounds a loss of 10 at 1e-6.
OFF = 1e-3
SCALES = tuple(10 ** (exponent / 8) for exponent in range(-8, 17))
# So many finer grids around the best scale, each of which leaves 2 / 17 of the one before: in all 2e-5 of it.
GRIDS, POINTS = 5, 16
# Where a loss fits, a finer grid that leaves an error this large leaves two thirds of that before it at most, mostly an
# eighth (26 temperatures of 6 activations at 2 to 50 classes). Where one leaves more than nine tenths, none fits.
HOPELESS, FALLS = 0.1, 0.9
# So many scaled scores are held at once, 8 MB of them.
MANY_NUMBERS = 2**20
FOCAL = (1.0, 2.0, 3.0, 5.0)
CLAMPS = (0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)

Activation = Callable[[Tensor], Tensor]
# From outputs of several activations on all draws, (activations * draws, ...), to the misfit of each.
Misfits = Callable[[Tensor], Tensor]


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
    found: set[str] = set()
    for labels in _labels(trailing, form, multilabel=multilabel):
        cause = _cause(loss, scores, labels, form)
        if cause is None:
            return None
        found.add(cause)
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
        values = torch.tensor([float(loss(z, labels).detach()) for z in scores], dtype=torch.float64)
    except (RuntimeError, ValueError, IndexError):
        return None
    spread = float(values.std())
    if not math.isfinite(spread) or spread <= 1e-6 * float(values.abs().max()):
        return None
    wide = scores[0].ndim > 1 and scores[0].shape[1] > 1
    stacked = torch.cat(scores).double()
    parts = _over_classes if form == "categorical" else _over_bits

    def misfits(outputs: Tensor) -> Tensor:
        return _misfits(parts(outputs, labels), values) / spread

    if _fitting_scale(lambda z: z, stacked, misfits) is not None:
        return None
    width = stacked.shape[1] if wide else 2
    suffix = "cross_entropy" if form == "categorical" else "bce_with_logits"
    # With each activation, by how much it lets the true score lead at most. Scores of no less than 0 leave BCE a floor
    # of log 2 for every label of 0, and rows that relu makes 0 have no gradient: no lead changes that.
    positive = 1.0 if form == "categorical" else 0.0
    candidates: dict[str, list[tuple[Activation, float]]] = {f"sigmoid_before_{suffix}": [(torch.sigmoid, positive)]}
    if wide:
        candidates[f"softmax_before_{suffix}"] = [(lambda z: F.softmax(z, dim=1), positive)]
    candidates["bounded_logits"] = [(torch.tanh, 2.0), (torch.relu, 0.0)]
    if wide and form == "categorical":
        candidates["bounded_logits"].append((lambda z: F.normalize(z, dim=1), math.sqrt(width / (width - 1))))
    for cause, activations in candidates.items():
        for activation, lead in activations:
            scale = _fitting_scale(activation, stacked, misfits)
            if scale is not None and _has_floor(scale * lead, width):
                return cause
            if _is_focal(stacked, activation(stacked), labels, values, spread, parts) and _has_floor(lead, width):
                return cause
    for bound in (bound for bound in CLAMPS if _has_floor(2 * bound, width)):
        clamped = partial(torch.clamp, min=-bound, max=bound)
        if float(misfits(clamped(stacked))) < OFF or _is_focal(
            stacked, clamped(stacked), labels, values, spread, parts
        ):
            return "bounded_logits"
    return _without_log(stacked, labels, values, spread, form)


def _has_floor(lead: float, width: int) -> bool:
    """Whether a true score that leads by no more leaves a floor worth a failure; 0 stands for a lead of any size."""
    return lead == 0 or is_material(math.log1p((width - 1) * math.exp(-lead)), 0.0, math.log(width))


def _without_log(stacked: Tensor, labels: Tensor, values: Tensor, spread: float, form: Form) -> str | None:
    """Whether the loss is minus the probability itself, or a divergence of smoothed targets from it."""
    if form == "bernoulli":
        flat = stacked.reshape(len(stacked), -1)
        true = torch.sigmoid(flat * (2 * labels.reshape(1, -1).to(flat.dtype) - 1)).mean(dim=1)
    elif stacked.ndim > 1 and stacked.shape[1] > 1:
        p = F.softmax(stacked, dim=1).movedim(1, -1)[..., labels.flatten()[0]]
        true = p.reshape(len(values), -1).mean(dim=1)
    else:
        return None
    if float(_misfits([-true], values)) / spread < OFF:
        return "probabilities_into_nll_loss"
    if form == "bernoulli":
        return None
    # sum s log s - sum s p, with targets s of 1 - eps + eps/K and eps/K, is linear in p with the slope 1 - eps.
    # Over all draws: two of them may have nearly the same p, and then their difference is rounding.
    away = true - true.mean()
    slope = -float((away * values).sum() / away.square().sum())
    rest = (1 - slope) / stacked.shape[1]
    if not 0 < rest < 0.5 / stacked.shape[1]:
        return None
    own = slope + rest
    at_zero = own * math.log(own) + (stacked.shape[1] - 1) * rest * math.log(rest) - rest
    off = (values - (at_zero - slope * true)).abs().max()
    return "probabilities_into_nll_loss" if float(off) / spread < OFF else None


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


def _misfits(parts: list[Tensor], values: Tensor) -> Tensor:
    """The largest error on the held-out draws of the best non-negative combination of the parts, of each fit.

    Parts have the draws of one fit after those of the other, (fits * draws,) each.
    """
    columns = torch.stack(parts, dim=1).reshape(-1, len(values), len(parts))
    wanted = values.unsqueeze(1)
    best = torch.full((len(columns),), math.inf, dtype=torch.float64)
    for chosen in sorted({1, columns.shape[2]}):
        given = columns[..., :chosen]
        fitted = given[:, :FITTED]
        if chosen == 1:
            weights = (fitted * wanted[:FITTED]).sum(1, keepdim=True) / fitted.square().sum(1, keepdim=True)
        else:
            weights = torch.linalg.lstsq(fitted, wanted[:FITTED].expand(len(given), -1, -1)).solution
        off = (given[:, FITTED:] @ weights - wanted[FITTED:]).abs().amax(dim=(1, 2)).nan_to_num(nan=math.inf)
        first = weights[:, :1]
        allowed = (first > 0) & (weights >= -1e-6 * first)
        best = torch.where(allowed.flatten(1).all(dim=1), torch.minimum(best, off), best)
    return best


def _fitting_scale(activation: Activation, stacked: Tensor, misfits: Misfits) -> float | None:
    """The temperature behind the activation with which the loss fits, 1 where it is before it; None where none fits.

    None at all is tried first, then on either side a grid that is refined around its best.
    """
    outputs = activation(stacked)
    if float(misfits(outputs)) < OFF:
        return 1.0
    many = max(1, MANY_NUMBERS // stacked.numel())
    error, scale = _refined(lambda scales: misfits(_scaled(outputs, scales)), many)
    if error < OFF:
        return scale
    return 1.0 if _refined(lambda scales: misfits(activation(_scaled(stacked, scales))), many)[0] < OFF else None


def _scaled(scores: Tensor, scales: Tensor) -> Tensor:
    return (scales.view(-1, *(1 for _ in scores.shape)) * scores).flatten(0, 1)


def _refined(errors: Callable[[Tensor], Tensor], many: int) -> tuple[float, float]:
    """The least error found, and where; ``many`` scales are asked at once."""
    scales = torch.tensor(SCALES, dtype=torch.float64)
    least, at = math.inf, 1.0
    for _ in range(1 + GRIDS):
        found, before = torch.cat([errors(part) for part in scales.split(many)]), least
        best = int(found.argmin())
        if float(found[best]) < least:
            least, at = float(found[best]), float(scales[best])
        if least < OFF or (least > HOPELESS and least > FALLS * before):
            break
        low, high = (math.log(scales[max(best - 1, 0)]), math.log(scales[min(best + 1, len(scales) - 1)]))
        scales = torch.linspace(low, high, POINTS + 2, dtype=torch.float64).exp()
    return least, at


def _is_focal(
    scores: Tensor,
    outputs: Tensor,
    labels: Tensor,
    values: Tensor,
    spread: float,
    parts: Callable[[Tensor, Tensor], list[Tensor]],
) -> bool:
    """Whether the loss is (1 - p) ** gamma times the loss of these outputs, p being theirs or that of the scores."""
    if outputs.ndim > 2 or (parts is _over_bits and outputs.numel() > len(outputs)):
        return False
    each = parts(outputs, labels)[0]
    factors = [1 - torch.exp(-each), 1 - torch.exp(-parts(scores, labels)[0])]
    weighted = torch.cat([factor**gamma * each for factor in factors for gamma in FOCAL])
    return bool((_misfits([weighted], values) / spread < OFF).any())


def _over_batch(
    loss: LossFunction, trailing: tuple[int, ...], form: Form, dtype: torch.dtype, rng: torch.Generator
) -> str | None:
    """Whether the loss is cross entropy, or NLL, of a softmax along the batch, up to a factor."""
    rows, dense = 4, trailing[1:]
    labels = (torch.arange(rows) % trailing[0]).view(-1, *(1 for _ in dense)).expand(-1, *dense)
    draws = [(2 * torch.randn((rows, *trailing), generator=rng)).to(dtype) for _ in range(FITTED)]
    try:
        values = [float(loss(scores, labels).detach()) for scores in draws]
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
