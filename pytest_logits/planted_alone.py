"""Faults in a loss that is registered by itself: before it, in its targets, in how its rows are joined, after it."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.losses import Nature

Loss = Callable[[Tensor, Tensor], Tensor]
# A mean over the rows twice is the mean over the rows, to rounding in half precision.
SAME = 0.05


@dataclass(frozen=True, kw_only=True)
class LossCase:
    """A loss to plant a fault in.

    Attributes:
        loss: ``(scores, targets) -> scalar or rows``.
        nature: what it takes.
        scores: a batch of what it takes, (N, K, *dense), (N, K), (N, 1) or (N,).
        targets: of these rows, as the loss gets them.
    """

    loss: Loss
    nature: Nature
    scores: Tensor
    targets: Tensor

    @property
    def has_indices(self) -> bool:
        """Whether targets are class indices."""
        return self.nature.form == "categorical" and not self.targets.is_floating_point()

    @property
    def has_bits(self) -> bool:
        """Whether each score has a target of its own, 0 or 1."""
        bits = bool(((self.targets == 0) | (self.targets == 1)).all())
        return self.nature.form == "bernoulli" and bits and self.targets.numel() == self.scores.numel()

    def takes_logits(self, form: str) -> bool:
        """Whether the loss takes logits, of this form."""
        return self.nature == Nature(takes="logits", form=form)  # type: ignore[arg-type]

    @property
    def is_scalar(self) -> bool:
        """Whether the loss joins its rows."""
        return self.loss(self.scores, self.targets).numel() == 1

    @property
    def is_mean(self) -> bool:
        """Whether the loss of every row twice is that of every row once."""
        if not self.is_scalar:
            return False
        once = float(self.loss(self.scores, self.targets))
        twice = float(self.loss(torch.cat([self.scores] * 2), torch.cat([self.targets] * 2)))
        return math.isclose(once, twice, rel_tol=SAME)


@dataclass(frozen=True, kw_only=True)
class LossPlant:
    """A way to plant one cause in a loss.

    Called with a case it returns the loss with the fault in it; None where the fault cannot be had: a softmax before a
    loss of single scores, a mean taken twice of a sum.
    """

    cause: str
    words: str
    change: Callable[[Loss, Tensor, Tensor], Tensor]
    fits: Callable[[LossCase], bool] = lambda case: True

    def __call__(self, case: LossCase) -> Loss | None:
        """The same loss with the fault, under its name and with its arguments, or None. The loss is not changed."""
        return _wrapped(case.loss, self.change) if self.fits(case) else None


def alone_plants() -> Iterator[LossPlant]:
    """Everything that is planted in a loss by itself."""
    yield LossPlant(cause="loss_is_maximised", words="a minus", change=lambda loss, z, y: -loss(z, y))
    yield LossPlant(
        cause="detached_graph", words="detach() of the scores", change=lambda loss, z, y: loss(z.detach(), y)
    )
    yield LossPlant(
        cause="softmax_before_cross_entropy",
        words="softmax over the classes",
        change=lambda loss, z, y: loss(F.softmax(z, dim=1), y),
        fits=lambda case: case.takes_logits("categorical"),
    )
    yield LossPlant(
        cause="softmax_over_wrong_dim",
        words="log-softmax over the batch",
        change=lambda loss, z, y: loss(F.log_softmax(z, dim=0), y),
        fits=lambda case: case.takes_logits("categorical"),
    )
    yield LossPlant(
        cause="sigmoid_before_bce_with_logits",
        words="sigmoid",
        change=lambda loss, z, y: loss(torch.sigmoid(z), y),
        fits=lambda case: case.takes_logits("bernoulli"),
    )
    yield LossPlant(
        cause="bounded_logits",
        words="scores clamped to [-1, 1]",
        change=lambda loss, z, y: loss(z.clamp(-1, 1), y),
        fits=lambda case: case.nature.takes == "logits",
    )
    yield LossPlant(
        cause="unstable_loss",
        words="log(exp(scores)), which overflows",
        change=lambda loss, z, y: loss(z.exp().log(), y),
        fits=lambda case: case.nature.takes == "logits",
    )
    yield LossPlant(
        cause="unbounded_loss",
        words="less the true score",
        change=lambda loss, z, y: loss(z, y) - z.gather(1, y.unsqueeze(1)).mean(),
        fits=lambda case: case.takes_logits("categorical") and case.is_scalar and case.has_indices,
    )
    yield LossPlant(
        cause="labels_out_of_range",
        words="classes from 1",
        change=lambda loss, z, y: loss(z, y + 1),
        fits=lambda case: case.has_indices,
    )
    yield LossPlant(
        cause="labels_have_no_effect",
        words="the label 1 for every row",
        change=lambda loss, z, y: loss(z, torch.ones_like(y)),
        fits=lambda case: case.has_indices or case.has_bits,
    )
    yield LossPlant(
        cause="signed_targets",
        words="-1 and 1 for 0 and 1",
        change=lambda loss, z, y: loss(z, 2 * y - 1),
        fits=lambda case: case.takes_logits("bernoulli") and case.has_bits,
    )
    yield LossPlant(
        cause="broadcast_targets",
        words="every row with every label",
        change=lambda loss, z, y: loss(z.repeat_interleave(len(z), 0), y.repeat(len(z), *(1 for _ in y.shape[1:]))),
        fits=lambda case: case.is_scalar,
    )
    yield LossPlant(
        cause="wrong_reduction",
        words="the mean divided by the number of rows",
        change=lambda loss, z, y: loss(z, y) / len(z),
        fits=lambda case: case.is_mean,
    )
    yield LossPlant(
        cause="wrong_loss_weights",
        words="rows weighted by their place in the batch",
        change=_by_place,
        fits=lambda case: case.is_mean,
    )


def _by_place(loss: Loss, z: Tensor, y: Tensor) -> Tensor:
    places = [row + 1 for row in range(len(z))]
    rows = [place * loss(z[place - 1 : place], y[place - 1 : place]) for place in places]
    return torch.stack(rows).sum() / sum(places)


def _wrapped(loss: Loss, change: Callable[[Loss, Tensor, Tensor], Tensor]) -> Loss:
    """A function as the loss is one to whoever looks at it: with its name, its arguments and its place."""

    # A module's attributes are not those of a function.
    @functools.wraps(loss, updated=())
    def planted(*given: Any) -> Tensor:
        return change(loss, *given)

    planted.__name__ = getattr(loss, "__name__", type(loss).__name__)
    try:
        signature = inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss)
    except (TypeError, ValueError):
        return planted
    planted.__signature__ = signature  # type: ignore[attr-defined]
    return planted
