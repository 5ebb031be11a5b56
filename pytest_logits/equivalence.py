"""Two-class cross entropy and binary cross entropy as one function of the margin m = z1 - z0.

CE on (z0, z1) with label y is softplus(m) - y m, which is BCE with logits on m. Class weights (w0, w1) weight each row;
under reduction="mean" CE divides by the sum of the rows' weights, BCE with pos_weight by the number of rows. Label
smoothing eps replaces y by (1 - eps) y + eps / 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Recognised on scores of about 2, in the model's dtype: losses that differ at all differ by far more.
RECOGNISED = 1e-4
# In float64 the two runs differ by rounding only, 1e-15 over 500 steps of a linear model; a wrong factor shows at 1e-3.
TRAINING_BOUND = 1e-9
TRAINING_STEPS = 20


@dataclass(frozen=True)
class Reference:
    """The other parameterisation in float64, ``value(scores, labels)``, and the rounding the user's loss may show."""

    name: str
    value: Callable[[Tensor, Tensor], Tensor]
    largest_weight: float
    is_sum: bool

    def tolerance(self, scores: Tensor, labels: Tensor) -> tuple[float, float]:
        """Bounds on the rounding error of value and gradient in the dtype of ``scores``.

        The value of a row is a difference of scores plus a logarithm in [0, log 2], each rounded a few times, so it is
        good to 8 units of 1 + max|z|; an entry of the gradient is a probability, good to 8 units (exp of a margin m
        has the relative error |m| units, and m exp(-m) <= 1). A sum over N rows adds up N of these.
        """
        unit = torch.finfo(scores.dtype).eps
        rows = len(labels) if self.is_sum else 1
        scale = 8 * unit * rows * max(self.largest_weight, 1.0)
        return scale * (1 + float(scores.abs().max())), scale


def margin_of(scores: Tensor, *, two_columns: bool) -> Tensor:
    """z1 - z0, or the single logit; (N,)."""
    return scores[:, 1] - scores[:, 0] if two_columns else scores.reshape(-1)


def as_bce(margin: Tensor, y: Tensor) -> Tensor:
    """BCE with logits per row, written out: -y log sigmoid(m) - (1 - y) log sigmoid(-m)."""
    return -(y * F.logsigmoid(margin) + (1 - y) * F.logsigmoid(-margin))


def as_cross_entropy(margin: Tensor, y: Tensor) -> Tensor:
    """CE on (0, m) per row, written out: logsumexp(0, m) - y m."""
    return torch.logaddexp(margin, torch.zeros_like(margin)) - y * margin


def exact_reference(loss: Any, *, two_columns: bool) -> Reference | None:
    """The reference of a named loss or of torch's own module with its arguments; None for anything else."""
    rows = as_bce if two_columns else as_cross_entropy
    name = "BCE with logits on z1 - z0" if two_columns else "cross entropy on (0, z)"

    def value(
        scores: Tensor, labels: Tensor, *, w0: float, w1: float, eps: float, reduction: str, by_weight: bool
    ) -> Tensor:
        margin, y = margin_of(scores, two_columns=two_columns), labels.double()
        weight = torch.where(labels == 1, w1, w0).double()
        # CE smooths over the classes and weights each class's share, so a row's two shares carry their own weights.
        on, off = rows(margin, torch.ones_like(y)), rows(margin, torch.zeros_like(y))
        share = (1 - eps) * y + eps / 2
        each = share * w1 * on + (1 - share) * w0 * off
        if reduction == "sum":
            return each.sum()
        return each.sum() / (weight.sum() if by_weight else len(y))

    def reference(
        *, w0: float = 1.0, w1: float = 1.0, eps: float = 0.0, reduction: str = "mean", by_weight: bool = False
    ) -> Reference:
        def call(scores: Tensor, labels: Tensor) -> Tensor:
            return value(scores, labels, w0=w0, w1=w1, eps=eps, reduction=reduction, by_weight=by_weight)

        # A weighted mean divided by its weights is no larger than its rows; smoothing adds the other class's share.
        ratio = 1 + eps / 2 * max(w0, w1) / min(w0, w1) if min(w0, w1) > 0 else 1.0
        averaged = by_weight and reduction == "mean"
        return Reference(name, call, ratio if averaged else max(w0, w1), reduction == "sum")

    if isinstance(loss, str):
        return reference() if loss in ("cross_entropy", "nll_loss", "bce_with_logits") else None
    if type(loss) in (nn.CrossEntropyLoss, nn.NLLLoss):
        if loss.reduction == "none" or loss.ignore_index in (0, 1):
            return None
        w0, w1 = (1.0, 1.0) if loss.weight is None else (float(loss.weight[0]), float(loss.weight[1]))
        eps = getattr(loss, "label_smoothing", 0.0)
        return reference(w0=w0, w1=w1, eps=eps, reduction=loss.reduction, by_weight=True)
    if type(loss) is nn.BCEWithLogitsLoss and loss.weight is None and loss.reduction != "none":
        w1 = 1.0 if loss.pos_weight is None else float(loss.pos_weight)
        return reference(w1=w1, reduction=loss.reduction)
    return None


@dataclass(frozen=True)
class Family:
    """What a loss of the user's own turned out to compute; ``cause`` where that is a mistake."""

    name: str
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
        return Family(f"{right}, averaged")
    if matches(lambda z, y: as_bce(margin(z), y).sum()):
        return Family(f"{right}, summed")

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
            "broadcast_targets",
            f"{right} of each row against its own label",
            example(paired),
        )
    if matches(squashed):
        activation = "softmax" if two_columns else "sigmoid"
        cause = "softmax_before_cross_entropy" if two_columns else "sigmoid_before_bce_with_logits"
        return Family(f"{right} of {activation}(logits)", cause, f"{right} of the logits themselves", example(paired))
    return None


def training_gaps(two: Callable[[], Any], one: Callable[[], Any], inputs: Tensor, *, seed: int) -> dict[str, float]:
    """How far the margins of equivalent two-logit and one-logit models part when trained, per optimizer, in float64.

    The models have a ``trunk`` and a linear ``head``. The one-logit head starts as the difference of the two-logit
    head's rows, and takes twice its step; the trunks start alike and take the same step.
    """
    labels = torch.arange(len(inputs)) % 2
    x = inputs.double() if inputs.is_floating_point() else inputs
    kinds: dict[str, Callable[[list[dict[str, Any]]], torch.optim.Optimizer]] = {
        "sgd": lambda groups: torch.optim.SGD(groups),
        "momentum": lambda groups: torch.optim.SGD(groups, momentum=0.9),
        "adam": lambda groups: torch.optim.Adam(groups),
    }
    gaps: dict[str, float] = {}
    for name, make in kinds.items():
        step = 1e-3 if name == "adam" else 1e-2
        a, b = two().double().train(), one().double().train()
        b.trunk.load_state_dict(a.trunk.state_dict())
        with torch.no_grad():
            b.head.weight.copy_((a.head.weight[1] - a.head.weight[0]).unsqueeze(0))
            b.head.bias.copy_((a.head.bias[1] - a.head.bias[0]).unsqueeze(0))
        optimizers = [
            make(
                [
                    {"params": list(m.trunk.parameters()), "lr": step},
                    {"params": list(m.head.parameters()), "lr": head_step},
                ]
            )
            for m, head_step in ((a, step), (b, 2 * step))
        ]
        gap = 0.0
        for i in range(TRAINING_STEPS):
            margins = []
            for model, optimizer in zip((a, b), optimizers, strict=True):
                torch.manual_seed(seed % 2**32 + i)
                scores = model(x)
                two_columns = scores.shape[1] == 2
                margins.append(margin_of(scores.detach(), two_columns=two_columns))
                loss = (
                    F.cross_entropy(scores, labels)
                    if two_columns
                    else F.binary_cross_entropy_with_logits(scores[:, 0], labels.double())
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            gap = max(gap, float((margins[0] - margins[1]).abs().max()))
        gaps[name] = gap
    return gaps
