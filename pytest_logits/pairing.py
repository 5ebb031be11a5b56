"""Two models side by side in float64: one under two losses, or two that the user calls equivalent.

Of two models, the parameters of one are put into the other. Where all have the same names and shapes that is all; where
the last layer has two rows in one and a single row in the other, the single one becomes their difference; see
``lockstep`` for the rest of that rule. Models whose parameters have other names are matched by order, which may be the
wrong way round: that can show that they are equal, and not that they differ.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.copies import DoesNotApply, evaluating
from pytest_logits.equivalence import Reference, margin_of, shares
from pytest_logits.lockstep import KINDS, Course, Kind, Look, Run, disturbed, together
from pytest_logits.subject import Subject

# Weight decay takes part in the first of these.
TRIED = ("weight decay", "momentum", "adam")
STEPS = 10
# Three models are trained with each optimizer; a slow one takes fewer steps.
SECONDS = 2.0


@dataclass(frozen=True)
class Untrained:
    """Why there is no run in float64."""

    reason: str


class Doubled(Subject):
    """The same registration in float64: models, inputs, and a loss that is a module."""

    def __init__(self, subject: Subject) -> None:
        spec = subject.spec
        if isinstance(spec.loss, nn.Module):
            spec = replace(spec, loss=copy.deepcopy(spec.loss).double())
        super().__init__(spec, subject.settings)

    def _make(self) -> nn.Module:
        return super()._make().double()

    def _users_inputs(self, count: int, rng: torch.Generator) -> Any:
        return _as_double(super()._users_inputs(count, rng))


def _as_double(inputs: Any) -> Any:
    if isinstance(inputs, Tensor):
        return inputs.double() if inputs.is_floating_point() else inputs
    if isinstance(inputs, Mapping):
        return {key: _as_double(value) for key, value in inputs.items()}
    if isinstance(inputs, tuple | list):
        return tuple(_as_double(value) for value in inputs)
    return inputs


def narrows(scores: Tensor) -> bool:
    """Whether scores are not in float64, or were in another dtype on their way from a parameter."""
    if scores.dtype != torch.float64:
        return True
    todo, seen = [scores.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        if type(node).__name__.startswith("ToCopyBackward"):
            return True
        seen.add(node)
        todo.extend(function for function, _ in node.next_functions)
    return False


def deadline() -> Callable[[], bool]:
    """Whether the time for one comparison is over."""
    end = time.monotonic() + SECONDS
    return lambda: time.monotonic() > end


def runs_of_both_losses(subject: Subject, reference: Reference) -> dict[str, Course] | Untrained:
    """The model trained by its own loss, and from the same weights by the other parameterisation of it."""
    doubled = Doubled(subject)
    try:
        return _runs_of_both_losses(doubled, reference)
    except DoesNotApply as reason:
        return Untrained(str(reason))
    except Exception as error:
        # It runs in its own dtype: what it raises in float64 is about a dtype that it names itself.
        return Untrained(f"in float64 the model or its loss raises {type(error).__name__}: {_first_line(error)}")
    finally:
        subject.count(forward=doubled.passes.forward, backward=doubled.passes.backward)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _runs_of_both_losses(doubled: Subject, reference: Reference) -> dict[str, Course] | Untrained:
    batch = doubled.separable_batch()

    def look(model: nn.Module, *, own: bool) -> tuple[Tensor, Tensor]:
        output = doubled.forward(model, batch.inputs)
        scores = doubled.extract(output)
        doubled.count(backward=1)
        if own:
            loss = doubled.loss_of(output, scores, batch.labels)
        else:
            targets = doubled.targets(batch.labels, scores)
            y = shares(targets, batch.labels, scores, two_columns=reference.two_columns)
            loss = reference.value(scores, y)
        return margin_of(scores, two_columns=reference.two_columns), loss

    if narrows(doubled.logits_of(doubled.fresh(), batch.inputs)):
        return Untrained("the model computes in another dtype than float64")
    rows = len(batch.labels) if reference.reduction == "sum" else 1

    def run(kind: Kind, *, own: bool) -> Run:
        model = doubled.fresh()
        trained: list[Tensor] = list(doubled.trainable(model).values())
        if not trained:
            raise DoesNotApply("no parameter trains")
        optimizer = replace(kind, step=kind.step / rows).optimizer(trained, [], single=False)
        return Run(model=model, optimizer=optimizer, look=lambda model: look(model, own=own), view=_named)

    return {
        name: together(
            run(KINDS[name], own=True),
            run(KINDS[name], own=False),
            run(KINDS[name], own=True),
            steps=STEPS,
            seed=doubled.seed(f"runs {name}"),
            enough=deadline(),
        )
        for name in TRIED
    }


def _named(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in model.named_parameters() if p.is_floating_point()}
