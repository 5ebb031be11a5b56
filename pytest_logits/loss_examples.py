"""The smallest batch that shows what is wrong with a loss: one of the plainest, else drawn and shrunk by Hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pytest_logits.loss_draws import DRAWN_CLASSES, Draw, batches, few_positions, plainest
from pytest_logits.loss_faults import Fault
from pytest_logits.loss_subject import LossSubject
from pytest_logits.search import smallest

# A counterexample differs by so much, to be seen without rounding in mind.
SHOWN = 0.01
LARGEST, DRAWN = 10.0, 100

Numbers = dict[str, Any]
# A loss and its gradient.
Measured = tuple[float, Tensor]


def example(loss: LossSubject, fault: Fault, ignored: int | None) -> Numbers | None:
    """The numbers of the smallest batch on which the loss is not what it should be; None where none was drawn.

    With rows of the ``ignored`` label that is the loss of the other rows; of rows that are joined wrongly the mean of
    the rows by themselves, or the loss of the same rows turned round; torch's weighted mean where weights have no
    effect. Else it is the plain loss of its task, of the scores themselves where it should have taken a logarithm of
    their softmax.
    """
    if fault.cause == "ignored_rows_count" and ignored is not None:
        return _found(loss, lambda draw: _beside_ignored(loss, *draw, ignored), rows=2)
    link = loss.nature.link
    if fault.shown != "plain":
        called = {"rows": "mean_of_rows", "reordered": "turned_round"}[fault.shown]
        joined = partial(_of_rows if fault.shown == "rows" else _turned_round, loss)
        found = _found(loss, lambda draw: _beside(loss, *draw, called, joined, link), rows=2)
        if found is not None:
            return found
    over_classes = bool(loss.trailing) and loss.trailing[0] > 1 and not loss.multilabel
    called = "plain"
    wanted: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy if over_classes else _of_bits
    if over_classes and fault.weights is not None and len(fault.weights) == loss.trailing[0]:
        called, wanted = "weighted", partial(_weighted, fault.weights)
    if fault.cause == "logits_into_nll_loss":
        link = _unchanged
    return _found(loss, lambda draw: _beside(loss, *draw, called, wanted, link))


def _found(loss: LossSubject, told: Callable[[Draw], Numbers | None], rows: int = 1) -> Numbers | None:
    """What is told of the smallest batch of which anything is. Scores that are all 0 show little."""
    dense = len(loss.trailing) > 1 and not loss.multilabel
    draws = few_positions if dense and (loss.any_classes or loss.trailing[0] <= DRAWN_CLASSES) else batches
    found = smallest(
        lambda: draws(loss, magnitude=LARGEST, min_rows=rows, max_rows=2),
        lambda draw: bool((draw[0] != 0).any()) and told(draw) is not None,
        seed=loss.seed("example"),
        examples=DRAWN,
        plain=plainest(loss, min_rows=rows, max_rows=2),
    )
    return None if found is None else {"logits": found[0].tolist(), **(told(found) or {})}


def _of_bits(z: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(z, y.to(z).reshape(z.shape))


def _unchanged(z: Tensor) -> Tensor:
    return z


def _of_rows(loss: LossSubject, z: Tensor, y: Tensor) -> Tensor:
    """The mean of the losses of the rows by themselves."""
    rows = [loss.loss(loss.nature.link(z[i : i + 1]), y[i : i + 1]) for i in range(len(z))]
    return torch.stack(rows).mean()


def _turned_round(loss: LossSubject, z: Tensor, y: Tensor) -> Tensor:
    return loss.loss(loss.nature.link(z.flip(0)), y.flip(0))


def _weighted(weights: Tensor, z: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(z, y, weight=weights.to(z))


def _beside(
    loss: LossSubject,
    scores: Tensor,
    labels: Tensor,
    called: str,
    wanted: Callable[[Tensor, Tensor], Tensor],
    link: Callable[[Tensor], Tensor],
) -> Numbers | None:
    """Value and wanted value where these differ, else the gradients where they do."""
    leaf = scores.clone().requires_grad_()
    try:
        value = loss.loss(link(leaf), labels)
        gradient = torch.autograd.grad(value, leaf, allow_unused=True)[0] if value.requires_grad else None
        right = wanted(leaf, labels)
        (slope,) = torch.autograd.grad(right, leaf)
    except (RuntimeError, ValueError, IndexError):
        return None
    given, rightly = float(value.detach()), float(right.detach())
    numbers = {"labels": labels.tolist(), "loss": given, f"{called}_loss": rightly}
    if abs(given - rightly) > SHOWN:
        return numbers
    gradient = torch.zeros_like(slope) if gradient is None else gradient
    if float((gradient - slope).abs().max()) > SHOWN:
        return {**numbers, "gradient": gradient.tolist(), f"{called}_gradient": slope.tolist()}
    return None


def _beside_ignored(loss: LossSubject, scores: Tensor, labels: Tensor, ignored: int) -> Numbers | None:
    """The loss of two rows, the second of which is ignored, and of the first alone, where these differ."""
    masked = labels.clone()
    masked[1] = ignored
    try:
        value = float(loss.loss(loss.nature.link(scores), masked).detach())
        wanted = float(loss.loss(loss.nature.link(scores[:1]), labels[:1]).detach())
    except (RuntimeError, ValueError, IndexError):
        return None
    if not abs(value - wanted) > SHOWN:
        return None
    return {"labels": masked.tolist(), "loss": value, "without_ignored_rows": wanted}


def beside_reference(scores: Tensor, labels: Tensor, found: Measured, wanted: Measured) -> Numbers:
    """Value and gradient of a batch, and what a reference gives for them."""
    return {
        "logits": scores.tolist(),
        "labels": labels.tolist(),
        "loss": found[0],
        "reference": wanted[0],
        "gradient": found[1].tolist(),
        "reference_gradient": wanted[1].tolist(),
    }
