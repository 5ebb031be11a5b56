"""A registered model in float64, and trained there by its loss and by the other parameterisation of that loss."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pytest_logits.copies import DoesNotApply
from pytest_logits.equivalence import Reference, margin_of, shares
from pytest_logits.lockstep import KINDS, Course, Kind, Run, together
from pytest_logits.subject import Subject

# Weight decay takes part in the first of these.
TRIED = ("weight decay", "momentum", "adam")
STEPS = 10
# Three models are trained with each optimizer; those of a slow model take fewer steps, or one.
# Seconds of computing in this thread: what else the machine does decides nothing.
SECONDS = 1.5


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


def obstacle(doubled: Subject, inputs: Any, labels: Tensor) -> str:
    """Why the model cannot be looked at in float64; "" where it can."""
    try:
        scores = doubled.logits_of(doubled.fresh(), inputs)
        doubled.loss(scores.detach(), labels)
    except DoesNotApply:
        raise
    except Exception as error:
        # It runs in its own dtype: what it raises in float64 is about a dtype that it names itself.
        said = (str(error).splitlines() or [""])[0]
        return f"in float64 {doubled.name} or its loss raises {type(error).__name__}: {said}"
    return f"{doubled.name} computes in another dtype than float64" if _narrows(scores) else ""


def _narrows(scores: Tensor) -> bool:
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
    end = time.thread_time() + SECONDS
    return lambda: time.thread_time() > end


def runs_of_both_losses(subject: Subject, reference: Reference) -> dict[str, Course] | str:
    """The model trained by its own loss, and from the same weights by the other parameterisation of it.

    By optimizer; or why there is no such run.
    """
    doubled = Doubled(subject)
    try:
        return _runs(doubled, reference)
    finally:
        subject.count(forward=doubled.passes.forward, backward=doubled.passes.backward)


def _runs(doubled: Subject, reference: Reference) -> dict[str, Course] | str:
    batch = doubled.separable_batch()
    reason = obstacle(doubled, batch.inputs, batch.labels)
    if reason or not doubled.trainable(doubled.fresh()):
        return reason or "no parameter trains"

    def look(model: nn.Module, *, own: bool) -> tuple[Tensor, Tensor]:
        output = doubled.forward(model, batch.inputs)
        scores = doubled.extract(output)
        doubled.count(backward=1)
        margins = margin_of(scores, two_columns=reference.two_columns)
        if own:
            return margins, doubled.loss_of(output, scores, batch.labels)
        targets = doubled.targets(batch.labels, scores)
        y = shares(targets, batch.labels, scores, two_columns=reference.two_columns)
        return margins, reference.value(scores, y)

    def run(kind: Kind, *, own: bool) -> Run:
        model = doubled.to_train()
        optimizer = kind.optimizer(list(doubled.trainable(model).values()), [], single=False)
        return Run(model=model, optimizer=optimizer, look=lambda model: look(model, own=own), view=_named)

    enough = deadline()
    rows = len(batch.labels) if reference.reduction == "sum" else 1
    found: dict[str, Course] = {}
    for name in TRIED:
        if found and enough():
            break
        kind = replace(KINDS[name], step=KINDS[name].step / rows)
        runs = (run(kind, own=own) for own in (True, False, True))
        found[name] = together(*runs, steps=STEPS, seed=doubled.seed(f"runs {name}"), enough=enough)
    return found


def _named(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.is_floating_point()}
