"""Hooks on a model and its optimizer, for the length of a few training steps, and what they have seen.

Hooks on the parameters see every gradient that a backward pass brings, a hook on the optimizer sees what it steps with,
and hooks on the model count forward passes, note the mode they run in, and see the gradient that the step's own loss
gives the logits.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pytest_logits.copies import SubjectError
from pytest_logits.placing import CPU
from pytest_logits.subject import Subject

# Gradients are compared on at most this many numbers of the model.
WATCHED = 1_000_000
# Steps of which gradients are kept.
MOST_KEPT = 8


@dataclass
class Taken:
    """One call of ``optimizer.step``: the gradients it was given, and those that came in since the last, each flat."""

    given: list[Tensor]
    incoming: list[Tensor]


@dataclass
class Pulled:
    """The logits of one forward pass of a step, its targets, and the gradient of the step's loss, None if none came."""

    logits: Tensor
    targets: Any
    gradient: Tensor | None = None


@dataclass
class OwnRun:
    """What was seen of a few steps.

    ``first`` and ``last`` are the registered loss on all batches before and after them, in train mode from the same
    random state, so that only the parameters make the difference. ``returned`` is what the first step returned, and
    ``registered`` the registered loss of the same batch from the same random state. ``pulled`` has the gradients that
    the first steps' losses give the logits. ``modes`` tells of each step whether a forward pass with a graph ran in
    train mode; None where there was none. ``unchanged`` and ``changed`` are trainable parameters; ``missing`` are not
    in the optimizer, ``foreign`` are in it and not in the model. ``pushed`` counts the numbers of the watched
    parameters that the optimizer was given a gradient for, ``moved`` those of them that are not what they were,
    ``moved_from_zero`` those of these that were 0. ``climb`` is the cosine of what the first step moves the parameters
    by and its gradients: 1 straight uphill, -1 downhill, 0 where nothing moves.
    """

    first: float = math.nan
    last: float = math.nan
    steps: int = 0
    taken: list[Taken] = field(default_factory=list)
    pulled: list[Pulled] = field(default_factory=list)
    returned: float | None = None
    registered: float = math.nan
    modes: list[bool | None] = field(default_factory=list)
    stepped: int = 0
    pushed: int = 0
    moved: int = 0
    moved_from_zero: int = 0
    climb: float = 0.0
    unchanged: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    connected: set[str] = field(default_factory=set)
    missing: tuple[str, ...] = ()
    foreign: int = 0


class Watch:
    """Hooks for the length of a ``with`` block."""

    def __init__(
        self,
        subject: Subject,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        named: dict[str, nn.Parameter],
        seen: OwnRun,
        *,
        flip: bool,
    ) -> None:
        self.subject, self.model, self.optimizer, self.seen = subject, model, optimizer, seen
        self.named, self.sign = named, -1.0 if flip else 1.0
        self.watched = dict(smallest(named))
        self.incoming = {name: torch.zeros_like(p) for name, p in self.watched.items()}
        self._fresh_backward = False
        self._targets: Any = None
        self._handles: list[Any] = []

    def __enter__(self) -> Watch:
        if not isinstance(self.model, torch.jit.ScriptModule):
            self._handles.append(self.model.register_forward_pre_hook(self._on_forward))
            self._handles.append(self.model.register_forward_hook(self._on_output))
        for name, p in self.named.items():
            self._handles.append(p.register_hook(lambda gradient, name=name: self._on_gradient(name, gradient)))
        self._handles.append(self.optimizer.register_step_pre_hook(self._on_step))
        return self

    def expect_step(self, targets: Any) -> None:
        """A new step begins; its first gradient belongs to a backward pass that is not counted yet."""
        self.seen.modes.append(None)
        self._fresh_backward = True
        self._targets = targets

    def parameters(self) -> Tensor:
        """The numbers of the watched parameters, flat."""
        return torch.cat(_flat(self.watched.values()))

    def gradients(self) -> Tensor:
        """What the first backward passes brought, up to the first call of the optimizer if there was one."""
        taken = self.seen.taken[0].incoming if self.seen.taken else _flat(self.incoming.values())
        return torch.cat(taken)

    def __exit__(self, *raised: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _on_forward(self, model: nn.Module, inputs: Any) -> None:
        self.subject.count(forward=1)
        if torch.is_grad_enabled():
            self.seen.modes[-1] = bool(self.seen.modes[-1]) or model.training
            self._fresh_backward = True

    def _on_output(self, model: nn.Module, inputs: Any, output: Any) -> None:
        if not torch.is_grad_enabled() or len(self.seen.pulled) >= MOST_KEPT:
            return
        try:
            logits = self.subject.extract(output)
        except SubjectError:
            # In train mode it may return its loss, or boxes.
            return
        if not logits.requires_grad:
            return
        pulled = Pulled(logits.detach().clone().to(CPU), copy.deepcopy(self._targets))

        def note(gradient: Tensor) -> None:
            gradient = gradient.detach().to(CPU)
            pulled.gradient = gradient + (0 if pulled.gradient is None else pulled.gradient)

        self.seen.pulled.append(pulled)
        logits.register_hook(note)

    def _on_gradient(self, name: str, gradient: Tensor) -> Tensor | None:
        if self._fresh_backward:
            self._fresh_backward = False
            self.subject.count(backward=1)
        self.seen.connected.add(name)
        gradient = self.sign * gradient
        if name in self.incoming:
            self.incoming[name] += gradient.detach().to_dense() if gradient.is_sparse else gradient.detach()
        return gradient if self.sign < 0 else None

    def _on_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self.seen.stepped += 1
        closure = next(iter(args[1:]), kwargs.get("closure"))
        if closure is None and len(self.seen.taken) < MOST_KEPT:
            given = [torch.zeros_like(p) if p.grad is None else _dense(p.grad) for p in self.watched.values()]
            self.seen.taken.append(Taken(given=_flat(given), incoming=_flat(self.incoming.values())))
        for total in self.incoming.values():
            total.zero_()


def smallest(named: dict[str, nn.Parameter]) -> Iterator[tuple[str, nn.Parameter]]:
    """The smallest parameters that together have at most ``WATCHED`` numbers; one at least."""
    total = 0
    for name, p in sorted(named.items(), key=lambda pair: pair[1].numel()):
        total += p.numel()
        if total > WATCHED and total > p.numel():
            return
        yield name, p


def cosine(one: Tensor, other: Tensor) -> float:
    """Of two flat tensors; 0 where one of them is all zeros."""
    size = float(one.norm() * other.norm())
    return float(one @ other) / size if size > 0 else 0.0


def _dense(gradient: Tensor) -> Tensor:
    return gradient.detach().to_dense() if gradient.is_sparse else gradient.detach()


def _flat(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [t.detach().double().flatten().clone() for t in tensors]
