"""Faults planted in real models: an activation on the logits, parameters that cannot train, a step that fails to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pytest_logits
from pytest_logits.structures import find_logits
from tests.zoo.real.entry import Real

Step = Callable[[nn.Module, torch.optim.Optimizer, Any, Any], Tensor]


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A real model with one fault: its cause, and the check that is to name it."""

    name: str
    cause: str
    check: str
    factory: Callable[[], nn.Module]
    arguments: dict[str, Any]


class Changed(nn.Module):
    """A model whose logits go through a function."""

    def __init__(
        self, model: nn.Module, scores_of: Callable[[Any], Tensor], function: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.model = model
        self.scores_of = scores_of
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.function(self.scores_of(self.model(*args, **kwargs)))


def frozen(model: nn.Module) -> nn.Module:
    return model.requires_grad_(False)


def planted(entry: Real) -> Iterator[Planted]:
    """Every fault that can be planted in this model."""
    arguments = {name: value for name, value in entry.arguments.items() if name != "logits"}
    scores_of = entry.arguments.get("logits", find_logits)
    bernoulli = entry.arguments.get("task", "multiclass") != "multiclass"
    suffix = "bce_with_logits" if bernoulli else "cross_entropy"
    activations: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
        "sigmoid": (f"sigmoid_before_{suffix}", torch.sigmoid),
        "relu": ("bounded_logits", F.relu),
        "softmax": (f"softmax_before_{suffix}", lambda z: F.softmax(z, dim=1)),
    }
    if entry.arguments.get("task") == "binary":
        del activations["softmax"]
    for name, (cause, function) in activations.items():
        yield Planted(
            name=f"{entry.name}-{name}",
            cause=cause,
            check="outputs_are_logits",
            factory=lambda function=function: Changed(entry.factory(), scores_of, function),  # type: ignore[misc]
            arguments=arguments,
        )
    for name, cause, factory in (
        ("frozen", "frozen_parameters", lambda: frozen(entry.factory())),
        ("detached", "detached_graph", lambda: Changed(entry.factory(), scores_of, Tensor.detach)),
    ):
        yield Planted(
            name=f"{entry.name}-{name}",
            cause=cause,
            check="every_parameter_learns",
            factory=factory,
            arguments=arguments if name == "detached" else dict(entry.arguments),
        )
    default = F.binary_cross_entropy_with_logits if bernoulli else F.cross_entropy
    loss = entry.arguments.get("loss", default)
    steps: dict[str, tuple[str, dict[str, Any]]] = {
        "wrong_optimizer": (
            "optimizer_misses_parameters",
            {"optimizer": lambda model: torch.optim.SGD(entry.factory().parameters(), lr=1e-2)},
        ),
        "no_zero_grad": ("gradients_not_cleared", {"train_step": step_of(scores_of, loss, clears=False)}),
        "negated_loss": ("loss_is_maximised", {"train_step": step_of(scores_of, loss, sign=-1.0)}),
    }
    for name, (cause, more) in steps.items():
        yield Planted(
            name=f"{entry.name}-{name}",
            cause=cause,
            check="training_step_trains",
            factory=entry.factory,
            arguments={**entry.arguments, **more},
        )


def step_of(
    scores_of: Callable[[Any], Tensor], loss: Callable[[Tensor, Any], Tensor], *, clears: bool = True, sign: float = 1.0
) -> Step:
    """A training step as people write it, or with one fault."""

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Any, y: Any) -> Tensor:
        if clears:
            optimizer.zero_grad()
        output = model(**x) if isinstance(x, Mapping) else model(*x) if isinstance(x, tuple) else model(x)
        value = sign * loss(scores_of(output), y)
        value.backward()
        optimizer.step()
        return value

    return step


def found_in(fault: Planted, *, seed: int) -> str | None:
    """The cause that the check names, as a failure or as advice."""
    (result,) = pytest_logits.check_classifier(
        fault.factory, name=fault.name, seed=seed, select=[fault.check], **fault.arguments
    )
    return (
        result.verdict.cause
        if result.outcome in ("failed", "advice")
        else f"{result.outcome}: {result.verdict.measured}"
    )
