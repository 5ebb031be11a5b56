"""Faults in a training step, an optimizer or the batches that are trained on.

A step size that is too large is none of them: a linear model on separable data bears any.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from pytest_logits.plant import Case, Plant, Planted
from pytest_logits.structures import called

TRAINS = "training_step_trains"
# Below the least float32 above 0, 1.4e-45: not even a bias that starts at 0 moves. At 1e-12 it would.
TOO_LOW = 1e-60
# What divides a pixel's value, and was forgotten.
PIXELS = 255.0


def training_plants() -> Iterator[Plant]:
    """Everything that is planted in ``train_step=``, ``optimizer=`` and ``batches=``."""
    for cause, words, parts in (
        ("gradients_not_cleared", "no zero_grad()", {"clears": False}),
        ("loss_is_maximised", "minus the loss", {"sign": -1.0}),
        ("step_without_update", "no step()", {"steps": False}),
        ("model_left_in_wrong_mode", "eval() after the step", {"evaluates": True}),
    ):
        yield Plant(cause=cause, words=words, make=_step(parts), checks=(TRAINS,))
    yield Plant(
        cause="optimizer_misses_parameters",
        words="the optimizer of a copy",
        make=lambda case: case.with_arguments(optimizer=_of_a_copy),
        checks=(TRAINS,),
    )
    yield Plant(
        cause="learning_rate_too_low",
        words="SGD at 1e-60",
        make=lambda case: case.with_arguments(optimizer=lambda model: SGD(_trainable(model), lr=TOO_LOW)),
        checks=(TRAINS,),
    )
    yield Plant(
        cause="unscaled_inputs", words="inputs times 255", make=_pixels, checks=("inputs_are_scaled",), advice=True
    )


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def _of_a_copy(model: nn.Module) -> Optimizer:
    return SGD(_trainable(copy.deepcopy(model)), lr=1e-2)


def _step(parts: Mapping[str, Any]) -> Callable[[Case], Planted | None]:
    def make(case: Case) -> Planted | None:
        if parts.get("evaluates") and not case.minds_its_mode:
            return None
        return None if case.is_skorch else case.with_arguments(train_step=step_of(case, **parts))

    return make


def step_of(
    case: Case, *, clears: bool = True, sign: float = 1.0, steps: bool = True, evaluates: bool = False
) -> Callable[[nn.Module, Optimizer, Any, Any], Tensor]:
    """A training step as people write it, with one fault or with none."""

    def step(model: nn.Module, optimizer: Optimizer, x: Any, y: Any) -> Tensor:
        if clears:
            optimizer.zero_grad()
        loss = sign * case.loss_of(called(model, x), y)
        loss.backward()
        if steps:
            optimizer.step()
        if evaluates:
            model.eval()
            with torch.no_grad():
                called(model, x)
        return loss

    return step


def _pixels(case: Case) -> Planted | None:
    batches = case.arguments.get("batches")
    if batches is None:
        return None

    def scaled(x: Any) -> Any:
        if isinstance(x, Tensor):
            return PIXELS * x if x.is_floating_point() else x
        if isinstance(x, Mapping):
            return {name: scaled(value) for name, value in x.items()}
        return type(x)(scaled(value) for value in x) if isinstance(x, tuple | list) else x

    return case.with_arguments(batches=lambda: ((scaled(x), y) for x, y in batches()))
