"""torch's optimizers, as functions of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn

from pytest_logits.strategies._text import call_of
from pytest_logits.strategies._validate import check_names, check_positive_numbers

KINDS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD": torch.optim.SGD,
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "Adamax": torch.optim.Adamax,
    "RMSprop": torch.optim.RMSprop,
    "Adagrad": torch.optim.Adagrad,
    "Adadelta": torch.optim.Adadelta,
}
OPTIMIZERS = tuple(KINDS)
# Those whose step is a multiple of the gradient, or of its average, can have momentum.
WITH_MOMENTUM = ("SGD", "RMSprop")


@dataclass(frozen=True, kw_only=True, repr=False)
class GeneratedOptimizer:
    """A function of a model that makes its optimizer. Its repr, evaluated, is the same function."""

    name: str
    lr: float
    weight_decay: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False

    def __repr__(self) -> str:
        """The call that makes it, without the arguments that are at their defaults."""
        return call_of(self)

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        """torch's optimizer of all parameters of the model that require a gradient."""
        given: dict[str, Any] = {"lr": self.lr, "weight_decay": self.weight_decay}
        if self.name in WITH_MOMENTUM:
            given["momentum"] = self.momentum
        if self.name == "SGD":
            given["nesterov"] = self.nesterov
        return KINDS[self.name]([p for p in model.parameters() if p.requires_grad], **given)


def optimizers(
    *, names: Sequence[str] = OPTIMIZERS, learning_rates: Sequence[float] = (1e-2, 1e-3, 1e-4)
) -> st.SearchStrategy[GeneratedOptimizer]:
    """Functions (model) -> torch.optim.Optimizer, with a step size of ``learning_rates``.

    Weight decay, and for "SGD" and "RMSprop" momentum, are drawn as well.

    Examples shrink towards the first allowed of the names in the order of the default, the first of ``learning_rates``,
    no weight decay and no momentum.
    """
    check_names("names", names, OPTIMIZERS)
    check_positive_numbers("learning_rates", learning_rates)
    return _optimizers(
        tuple(name for name in OPTIMIZERS if name in names), tuple(float(rate) for rate in learning_rates)
    )


@st.composite
def _optimizers(draw: st.DrawFn, names: tuple[str, ...], learning_rates: tuple[float, ...]) -> GeneratedOptimizer:
    name = draw(st.sampled_from(names))
    momentum = draw(st.sampled_from((0.0, 0.9))) if name in WITH_MOMENTUM else 0.0
    return GeneratedOptimizer(
        name=name,
        lr=draw(st.sampled_from(learning_rates)),
        weight_decay=draw(st.sampled_from((0.0, 1e-4, 1e-2))),
        momentum=momentum,
        nesterov=draw(st.booleans()) if name == "SGD" and momentum else False,
    )
