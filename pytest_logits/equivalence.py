"""Two-class cross entropy and binary cross entropy as one function of the margin m = z1 - z0.

CE on (z0, z1) with label y is softplus(m) - y m, which is BCE with logits on m. Soft targets (t0, t1) give
t1 softplus(-m) + t0 softplus(m) in both, label smoothing eps replaces t by (1 - eps) t + eps / 2, and class weights
(w0, w1) multiply the two terms: pos_weight is w1 / w0. Rows with ``ignore_index`` count nowhere.

Under reduction="mean" CE divides by the sum of the weights of the rows' labels where the targets are class indices, and
by the number of rows where they are probabilities; BCE divides by the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.tolerances import bce_with_logits_bound, cross_entropy_bound

# Recognised on scores of about 2, in the model's dtype: losses that differ at all differ by far more.
RECOGNISED = 1e-4
# Torch's own value for "no index is ignored".
NOTHING_IGNORED = -100


def margin_of(scores: Tensor, *, two_columns: bool) -> Tensor:
    """z1 - z0, or the single logit; (N,)."""
    return scores[:, 1] - scores[:, 0] if two_columns else scores.reshape(-1)


def as_bce(margin: Tensor, y: Tensor) -> Tensor:
    """BCE with logits per row, written out: -y log sigmoid(m) - (1 - y) log sigmoid(-m)."""
    return -(y * F.logsigmoid(margin) + (1 - y) * F.logsigmoid(-margin))


def as_cross_entropy(margin: Tensor, y: Tensor) -> Tensor:
    """CE on (0, m) per row, written out: logsumexp(0, m) - y m."""
    return torch.logaddexp(margin, torch.zeros_like(margin)) - y * margin


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A loss on two classes with its arguments, computed as the other parameterisation.

    ``two_columns`` says that it takes scores (N, 2), as CE does, and not (N, 1) or (N,). ``weights`` are those of class
    0 and 1. ``by_weight`` is CE's mean, over the weights of the labels.
    """

    two_columns: bool
    weights: tuple[float, float] = (1.0, 1.0)
    smoothing: float = 0.0
    reduction: str = "mean"
    ignore_index: int = NOTHING_IGNORED
    by_weight: bool = False

    @property
    def name(self) -> str:
        """The other parameterisation."""
        return "BCE with logits on z1 - z0" if self.two_columns else "cross entropy on (0, z)"

    def value(self, scores: Tensor, y: Tensor) -> Tensor:
        """The loss, a scalar in the dtype of ``scores``; NaN where nothing is left to average over.

        Args:
            scores: (N, 2), (N, 1) or (N,), float64 for a reference.
            y: class indices, int64 (N,), or the share of class 1, floats (N,), or of both, (N, 2).
        """
        margin = margin_of(scores, two_columns=self.two_columns)
        hard = not y.is_floating_point()
        if hard and self.two_columns:
            kept = y != self.ignore_index
            margin, y = margin[kept], y[kept]
        on = y[:, 1] if y.ndim > 1 else y.to(margin.dtype)
        off = y[:, 0] if y.ndim > 1 else 1 - on
        on, off = ((1 - self.smoothing) * share + self.smoothing / 2 for share in (on, off))
        rows = as_bce if self.two_columns else as_cross_entropy
        ones, (w0, w1) = torch.ones_like(margin), self.weights
        each = on * w1 * rows(margin, ones) + off * w0 * rows(margin, 0 * ones)
        if self.reduction == "sum":
            return each.sum()
        return each.sum() / (torch.where(y == 1, w1, w0).sum() if self.by_weight and hard else len(margin))

    def tolerance(self, scores: Tensor, y: Tensor) -> tuple[float, Tensor]:
        """How far the loss, in the dtype of ``scores``, may be from ``value`` in float64: a bound, one per score.

        In float64 this reference rounds as much as the loss does, so the bound is twice as wide there.
        """
        w0, w1 = (torch.tensor(w, dtype=torch.float64) for w in self.weights)
        if self.two_columns:
            bound = cross_entropy_bound(
                scores,
                y,
                weight=None if self.weights == (1.0, 1.0) else torch.stack([w0, w1]),
                label_smoothing=self.smoothing,
                ignore_index=self.ignore_index,
                reduction=self.reduction,
            )
        else:
            flat = scores.reshape(-1)
            bound = bce_with_logits_bound(
                flat, y.double().reshape(-1), weight=w0, pos_weight=w1 / w0, reduction=self.reduction
            )
        sides = 2 if scores.dtype == torch.float64 else 1
        return sides * float(bound.value), sides * bound.gradient.reshape(scores.shape)


def exact_reference(loss: Any, *, two_columns: bool) -> Reference | None:
    """The reference of a named loss or of torch's own module with its arguments; None for anything else."""
    if isinstance(loss, str):
        known = loss in ("cross_entropy", "nll_loss", "bce_with_logits")
        return Reference(two_columns=two_columns) if known else None
    if type(loss) in (nn.CrossEntropyLoss, nn.NLLLoss) and loss.reduction != "none":
        return Reference(
            two_columns=two_columns,
            weights=(1.0, 1.0) if loss.weight is None else (float(loss.weight[0]), float(loss.weight[1])),
            smoothing=getattr(loss, "label_smoothing", 0.0),
            reduction=loss.reduction,
            ignore_index=loss.ignore_index,
            by_weight=True,
        )
    if type(loss) is nn.BCEWithLogitsLoss and loss.reduction != "none":
        if any(given is not None and given.numel() > 1 for given in (loss.weight, loss.pos_weight)):
            return None
        w = 1.0 if loss.weight is None else float(loss.weight)
        positive = 1.0 if loss.pos_weight is None else float(loss.pos_weight)
        if not w > 0:
            return None
        return Reference(two_columns=two_columns, weights=(w, w * positive), reduction=loss.reduction)
    return None


def shares(targets: Any, labels: Tensor, scores: Tensor, *, two_columns: bool) -> Tensor:
    """What the targets say of each row, in the form that :class:`Reference` takes; the labels where they are no shares.

    Floats that lie in [0, 1], are nearer to the row's label than to the other class and, in two columns, sum to 1 up
    to rounding, are soft targets. Any others are a mistake, which shows against the labels.
    """
    if not isinstance(targets, Tensor) or not targets.is_floating_point() or targets.numel() != scores.numel():
        return labels
    soft = targets.detach() if two_columns else targets.detach().reshape(-1)
    on = soft[:, 1] if two_columns else soft
    fit = (soft >= 0).all() & (soft <= 1).all() & ((on - labels).abs() < 0.5).all()
    if two_columns:
        fit &= ((soft.sum(1) - 1).abs() <= 2 * torch.finfo(soft.dtype).eps).all()
    return soft.double() if bool(fit) else labels


@dataclass(frozen=True)
class Family:
    """What a loss of the user's own turned out to compute: ``reference`` where that is right, ``cause`` where not."""

    name: str
    reference: Reference | None = None
    cause: str | None = None
    wanted: str = ""
    example: dict[str, Any] | None = None


def recognise(
    loss: Callable[[Tensor, Tensor], Tensor], *, shape: tuple[int, ...], dtype: torch.dtype, two_columns: bool
) -> Family | None:
    """Hold a callable against the forms of the loss on eight batches of moderate scores with uneven labels.

    Args:
        loss: ``(scores, labels) -> scalar``.
        shape: of one row of scores, (2,), (1,) or ().
        dtype: of the scores.
        two_columns: scores are (N, 2).
    """
    rng = torch.Generator().manual_seed(0)
    batches = [
        ((2 * torch.randn(5, *shape, generator=rng)).to(dtype), torch.randint(0, 2, (5,), generator=rng))
        for _ in range(8)
    ]

    def matches(form: Callable[[Tensor, Tensor], Tensor]) -> bool:
        for scores, labels in batches:
            try:
                value = float(loss(scores, labels))
            except (RuntimeError, ValueError, IndexError):
                return False
            wanted = float(form(scores.double(), labels.double()))
            if not abs(value - wanted) <= RECOGNISED * (1 + abs(wanted)):
                return False
        return True

    def margin(z: Tensor) -> Tensor:
        return margin_of(z, two_columns=two_columns)

    right = "cross entropy" if two_columns else "BCE with logits"
    if matches(lambda z, y: as_bce(margin(z), y).mean()):
        return Family(f"{right}, averaged", Reference(two_columns=two_columns))
    if matches(lambda z, y: as_bce(margin(z), y).sum()):
        return Family(f"{right}, summed", Reference(two_columns=two_columns, reduction="sum"))

    def example(form: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Any]:
        """The batch on which the loss is farthest from what it should be."""
        told = []
        for scores, labels in batches:
            value, wanted = float(loss(scores, labels)), float(form(scores.double(), labels.double()))
            told.append({"logits": scores.tolist(), "labels": labels.tolist(), "loss": value, "reference": wanted})
        return max(told, key=lambda one: abs(one["loss"] - one["reference"]))

    def paired(z: Tensor, y: Tensor) -> Tensor:
        return as_bce(margin(z), y).mean()

    def crossed(z: Tensor, y: Tensor) -> Tensor:
        return as_bce(margin(z).unsqueeze(1), y.unsqueeze(0)).mean()

    def squashed(z: Tensor, y: Tensor) -> Tensor:
        return as_bce(margin(torch.softmax(z, dim=1)) if two_columns else torch.sigmoid(margin(z)), y).mean()

    if matches(crossed):
        return Family(
            f"{right} of every row against every label, averaged over all pairs",
            None,
            "broadcast_targets",
            f"{right} of each row against its own label",
            example(paired),
        )
    if matches(squashed):
        activation = "softmax" if two_columns else "sigmoid"
        cause = "softmax_before_cross_entropy" if two_columns else "sigmoid_before_bce_with_logits"
        return Family(
            f"{right} of {activation}(logits)", None, cause, f"{right} of the logits themselves", example(paired)
        )
    return None
