"""Faults in the loss, in how targets are encoded for it, and in the decision that is taken from its scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.plant import Case, Plant, Planted
from pytest_logits.structures import called

FIT = "targets_fit_loss"


def loss_plants() -> Iterator[Plant]:
    """Everything that is planted in ``loss=``, ``targets=`` and ``predict=``."""
    yield Plant(
        cause="probabilities_into_nll_loss",
        words="softmax before nll_loss",
        make=_other_loss("categorical", "nll_loss", change=lambda z: F.softmax(z, dim=1)),
        checks=("outputs_are_logits", "loss_reaches_its_minimum"),
    )
    yield Plant(
        cause="logits_into_nll_loss",
        words="nll_loss of logits",
        make=_other_loss("categorical", "nll_loss"),
        checks=("outputs_are_logits", "loss_reaches_its_minimum"),
    )
    yield Plant(
        cause="logits_into_bce_loss",
        words="BCE of logits",
        make=_other_loss("bernoulli", "bce"),
        checks=("outputs_are_logits",),
    )
    yield Plant(
        cause="unstable_loss",
        words="the logarithm of the probabilities, by hand",
        make=_unstable,
        checks=("cross_entropy_agrees_with_bce",),
    )
    yield Plant(
        cause="wrong_loss_weights",
        words="ignore_index=0",
        make=_other_loss("categorical", nn.CrossEntropyLoss(ignore_index=0)),
        checks=("no_class_is_privileged",),
        advice=True,
    )
    yield Plant(
        cause="broadcast_targets",
        words="BCE by hand of (N, 1) against (N,)",
        make=lambda case: (
            case.with_arguments(loss=_broadcast, targets="float_index")
            if case.task == "binary" and case.has_plain_loss("bernoulli")
            else None
        ),
        checks=(FIT, "cross_entropy_agrees_with_bce"),
    )
    yield Plant(cause="wrong_target_dtype", words="targets of another dtype", make=_dtype, checks=(FIT,))
    yield Plant(cause="labels_out_of_range", words="classes from 1", make=_from_one, checks=(FIT,))
    yield Plant(
        cause="signed_targets",
        words="-1 and 1 for 0 and 1",
        make=lambda case: case.with_arguments(targets="signed") if case.has_plain_loss("bernoulli") else None,
        checks=(FIT, "cross_entropy_agrees_with_bce"),
    )
    yield Plant(
        cause="unnormalised_targets",
        words="votes instead of shares",
        make=lambda case: (
            case.with_arguments(targets=_votes(case.num_classes)) if case.has_plain_loss("categorical") else None
        ),
        checks=(FIT,),
    )
    yield Plant(
        cause="prediction_disagrees_with_logits",
        words="argmin; on one logit or several labels, scores below 0",
        make=_prediction,
        checks=("predictions_match_logits",),
    )


def _other_loss(
    form: str, loss: Any, *, change: Callable[[Tensor], Tensor] | None = None
) -> Callable[[Case], Planted | None]:
    """Another loss in the place of torch's own of this form on logits; scores go through ``change``."""

    def make(case: Case) -> Planted | None:
        if not case.has_plain_loss(form):
            return None
        return case.with_arguments(loss=loss) if change is None else case.with_outputs(change, loss=loss)

    return make


def _unstable(case: Case) -> Planted | None:
    """Where CE and BCE meet: two logits, or one."""
    if case.has_plain_loss("categorical") and case.num_classes == 2:
        return case.with_arguments(loss=_log_of_softmax)
    if case.has_plain_loss("bernoulli") and case.task == "binary":
        return case.with_arguments(loss=_log_of_sigmoid)
    return None


def _log_of_softmax(logits: Tensor, targets: Tensor) -> Tensor:
    return F.nll_loss(F.softmax(logits, dim=1).log(), targets)


def _log_of_sigmoid(logits: Tensor, targets: Tensor) -> Tensor:
    p = logits.sigmoid()
    return -(targets * p.log() + (1 - targets) * (1 - p).log()).mean()


def _broadcast(logits: Tensor, targets: Tensor) -> Tensor:
    column = logits.reshape(-1, 1)
    return (F.softplus(column) - column * targets.reshape(-1)).mean()


def _dtype(case: Case) -> Planted | None:
    if case.has_plain_loss("categorical"):
        return case.with_arguments(targets=lambda y: y.int())
    return case.with_arguments(targets=lambda y: y) if case.has_plain_loss("bernoulli") else None


def _from_one(case: Case) -> Planted | None:
    if case.has_plain_loss("categorical"):
        return case.with_arguments(targets=lambda y: y + 1)
    if case.task == "multilabel" and case.has_plain_loss("bernoulli"):
        return case.with_arguments(targets=lambda y: y + 1.0)
    return None


def _votes(num_classes: int) -> Callable[[Tensor], Tensor]:
    return lambda y: 3.0 * F.one_hot(y, num_classes).movedim(-1, 1) + 1


def _prediction(case: Case) -> Planted | None:
    if case.nature.takes != "logits":
        return None

    def predict(model: Any, x: Any) -> Tensor:
        scores = case.scores_of(called(model, x))
        if case.nature.form == "categorical":
            return scores.argmin(dim=1)
        decided = (scores < 0).long()
        return decided if case.task == "multilabel" or decided.ndim < 2 else decided.squeeze(1)

    return case.with_arguments(predict=predict)
