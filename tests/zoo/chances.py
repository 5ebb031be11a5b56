"""Classes without a chance: one that can never win, one that the loss passes by; and losses of a model's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.entry import Fault
from tests.zoo.normalised import FLAT5
from tests.zoo.pairings import log_softmax
from tests.zoo.sound import BINARY, Applied, Plain

UNREACHABLE, WEIGHTS, REGRESSION = "unreachable_class", "wrong_loss_weights", "regression_head"


# Scores that never exceed another.


def less_an_exponential(z: Tensor) -> Tensor:
    return torch.cat([z[:, :4], z[:, :1] - z[:, 4:].clamp(max=20).exp()], dim=1)


def cumulative(z: Tensor) -> Tensor:
    """Scores that fall from class to class, as of an ordinal model without differences taken."""
    return torch.cat([z[:, :1], z[:, :1] - F.softplus(z[:, 1:]).cumsum(dim=1)], dim=1)


def least_of_others(z: Tensor) -> Tensor:
    """None of these, scored by the least of the others."""
    return torch.cat([z[:, :4], z[:, :4].amin(dim=1, keepdim=True) - 1], dim=1)


def background_of_positive(z: Tensor) -> Tensor:
    """A background score of 0 beside scores that are not negative."""
    return torch.cat([-F.softplus(-z[:, :1]), F.softplus(z[:, 1:])], dim=1)


def penalised(z: Tensor) -> Tensor:
    return z - 1e4 * (torch.arange(5) == 2)


def mean_of_others(z: Tensor) -> Tensor:
    return torch.cat([z[:, :2], z[:, :4].mean(dim=1, keepdim=True), z[:, 2:4]], dim=1)


def between_two(z: Tensor) -> Tensor:
    """A middle class by interpolation."""
    return torch.cat([z[:, :1], 0.5 * (z[:, :1] + z[:, 1:2]), z[:, 1:4]], dim=1)


def _unreachable() -> Iterator[Fault]:
    for function, words in (
        (less_an_exponential, "the score of class 0 less an exponential"),
        (cumulative, "scores that fall from class to class"),
        (least_of_others, "the least of the other scores, less 1"),
        (background_of_positive, "a background that is negative beside scores that are not"),
        (penalised, "less 10000"),
        (mean_of_others, "the mean of the other scores"),
        (between_two, "half-way between two others"),
    ):
        yield Fault(
            name=function.__name__,
            words=words,
            cause=UNREACHABLE,
            factory=lambda function=function: Applied(5, function),
            twin=Plain(5),
            arguments=FLAT5,
            located=False,
        )


# Classes that the loss passes by.


def ignoring_the_first(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, ignore_index=0)


def foreground_only(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    losses = F.cross_entropy(logits, targets, reduction="none")
    return losses[targets > 0].sum() / (targets > 0).sum().clamp(min=1)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets)


def _weights() -> Iterator[Fault]:
    weight = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0])
    rows: list[tuple[str, str, Any, Any, Any]] = [
        ("IgnoreFirst", "ignore_index=0", nn.CrossEntropyLoss(ignore_index=0), cross_entropy, Plain(5)),
        ("IgnoreLast", "ignore_index=4 of 5 classes", nn.CrossEntropyLoss(ignore_index=4), cross_entropy, Plain(5)),
        ("ZeroWeight", "a weight of 0", nn.CrossEntropyLoss(weight=weight), cross_entropy, Plain(5)),
        ("IgnoreFirstFunction", "F.cross_entropy(ignore_index=0)", ignoring_the_first, cross_entropy, Plain(5)),
        ("ForegroundOnly", "the loss of rows above class 0", foreground_only, cross_entropy, Plain(5)),
        (
            "ZeroWeightNLL",
            "nn.NLLLoss with a weight of 0",
            nn.NLLLoss(weight=weight),
            "nll_loss",
            lambda: Applied(5, log_softmax),
        ),
    ]
    for name, words, wrong, right, factory in rows:
        yield Fault(
            name=name,
            words=f"{words}: advice, as it may be padding",
            cause=WEIGHTS,
            factory=factory,
            arguments={**FLAT5, "loss": wrong},
            twin_arguments={"loss": right},
            located=wrong is foreground_only,
            harmless=True,
        )


# A model that computes its loss, as those of Hugging Face do: by regression, where there is one label.


class OneLabel(nn.Module):
    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], *, squeeze: bool = False) -> None:
        super().__init__()
        self.config = SimpleNamespace(num_labels=1, problem_type=None)
        self.head, self.loss, self.squeeze = nn.Linear(10, 1), loss, squeeze

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor | None]:
        logits = self.head(x)
        fitting = logits.squeeze(1) if self.squeeze else logits
        loss = None if labels is None else self.loss(fitting, labels.float().reshape(fitting.shape))
        return {"loss": loss, "logits": logits}


def _regression() -> Iterator[Fault]:
    for name, words, wrong, squeeze in (
        ("OneLabel", "squared error", F.mse_loss, False),
        ("OneLabelSqueezed", "squared error of (N,)", F.mse_loss, True),
        ("OneLabelAbsolute", "absolute error", F.l1_loss, False),
    ):
        yield Fault(
            name=name,
            words=f"num_labels=1: {words}: advice",
            cause=REGRESSION,
            factory=lambda wrong=wrong, squeeze=squeeze: OneLabel(wrong, squeeze=squeeze),
            twin=lambda: OneLabel(F.binary_cross_entropy_with_logits),
            arguments=BINARY,
            located=False,
            harmless=True,
        )


FAULTS = (*_unreachable(), *_weights(), *_regression())
