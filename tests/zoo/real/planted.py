"""Faults planted in real models: an activation on the logits, parameters that cannot train, a step that fails to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest_logits
from pytest_logits.planting import plants
from tests.zoo.real.entry import Real

CHECKS = {
    "sigmoid": "outputs_are_logits",
    "relu": "outputs_are_logits",
    "softmax": "outputs_are_logits",
    "frozen": "every_parameter_learns",
    "detached": "every_parameter_learns",
    "wrong_optimizer": "training_step_trains",
    "no_zero_grad": "training_step_trains",
    "negated_loss": "training_step_trains",
}


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A real model with one fault: its cause, and the check that is to name it."""

    name: str
    cause: str
    check: str
    factory: Callable[[], Any]
    arguments: dict[str, Any]


def planted(entry: Real) -> Iterator[Planted]:
    """Every fault of ``CHECKS`` that can be planted in this model."""
    suffix = "bce_with_logits" if entry.arguments.get("task", "multiclass") != "multiclass" else "cross_entropy"
    causes = {
        "sigmoid": f"sigmoid_before_{suffix}",
        "relu": "bounded_logits",
        "softmax": f"softmax_before_{suffix}",
        "frozen": "frozen_parameters",
        "detached": "detached_graph",
        "wrong_optimizer": "optimizer_misses_parameters",
        "no_zero_grad": "gradients_not_cleared",
        "negated_loss": "loss_is_maximised",
    }
    for name, check in CHECKS.items():
        found = plants()[causes[name]](entry.factory, entry.arguments)
        if found is not None:
            yield Planted(
                name=f"{entry.name}-{name}",
                cause=causes[name],
                check=check,
                factory=found.factory,
                arguments=found.arguments,
            )


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
