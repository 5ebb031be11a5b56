"""The user's own training step and optimizer, run as they are and watched from outside.

Hooks on the parameters see every gradient that a backward pass brings, a hook on the optimizer sees what it steps with,
and hooks on the model count forward passes, note the mode they run in, and see the gradient that the step's own loss
gives the logits. Nothing of the user's is changed but, for a proof, the sign of the gradients or the step size.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pytest_logits.copies import DoesNotApply, SubjectError
from pytest_logits.guard import seed_everything
from pytest_logits.learning import learning_run
from pytest_logits.structures import index_rows, tensors_in
from pytest_logits.subject import Subject

# Gradients are compared on at most this many numbers of the model.
WATCHED = 1_000_000
# Batches that are taken from ``batches=``.
MOST_BATCHES = 8
DEFAULT_STEP_SIZE = 1e-2


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
    in the optimizer, ``foreign`` are in it and not in the model. ``climb`` is the cosine of what the first step moves
    the parameters by and its gradients: 1 straight uphill, -1 downhill, 0 where nothing moves.
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
    climb: float = 0.0
    unchanged: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    connected: set[str] = field(default_factory=set)
    missing: tuple[str, ...] = ()
    foreign: int = 0


class OwnTraining:
    """The user's step on the user's data, or on the suite's separable batch where there is none."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.data = "your batches" if subject.spec.batches is not None else "the suite's separable batch"

    @cached_property
    def batches(self) -> list[tuple[Any, Any]]:
        """Pairs (x, y), y as the loss gets it: the first of the user's, or two halves of the separable batch."""
        subject = self.subject
        if subject.spec.batches is not None:
            return users_batches(subject)
        run = learning_run(subject)
        count = len(run.labels)
        targets = subject.targets(run.labels, run.stakes.like)
        halves = [torch.arange(count)[start::2] for start in (0, 1)]
        if not isinstance(targets, Tensor) or len(targets) != count:
            return [(run.batch.inputs, targets)]
        return [(index_rows(run.batch.inputs, half, count), targets[half]) for half in halves]

    @cached_property
    def watched(self) -> tuple[str, ...]:
        """The names of the parameters whose gradients are kept, in their order in ``Taken``."""
        return tuple(name for name, _ in _smallest(self.subject.trainable(self.subject.fresh())))

    @cached_property
    def fed(self) -> list[tuple[Any, Any]]:
        """The batches as the model and the registered loss take them; a step may convert its own first.

        Raises:
            DoesNotApply: the loss takes them only after the step has converted them.
        """
        if self.subject.spec.batches is None:
            return self.batches
        found = fed_batches(self.subject)
        if self.subject.spec.train_step is not None:
            x, y = found[0]
            try:
                with torch.no_grad():
                    output = self.subject.forward(self.subject.fresh(), x)
                    self.subject.loss_on_targets(output, self.subject.extract(output), y)
            except SubjectError:
                raise
            except Exception as error:
                said = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise DoesNotApply(
                    f"the registered loss cannot be computed on your batches as they are: {said}. If train_step= "
                    "converts them, let batches= give them converted"
                ) from error
        return found

    def optimizer_of(self, model: nn.Module) -> torch.optim.Optimizer:
        """The user's optimizer for this copy; where none is registered SGD, which takes sparse gradients as well.

        Raises:
            SubjectError: ``optimizer=`` gives something else than an optimizer of torch's kind.
        """
        if self.subject.optimizer_factory is None:
            return torch.optim.SGD(self.subject.trainable(model).values(), lr=DEFAULT_STEP_SIZE)
        made = (
            self._made_by_library(model) if self.subject.spec.optimizer is None else self.subject.spec.optimizer(model)
        )
        if not isinstance(made, torch.optim.Optimizer):
            raise SubjectError(
                f"optimizer= of {self.subject.name!r} must return a torch.optim.Optimizer; "
                f"it returned {type(made).__name__}"
            )
        return made

    def _made_by_library(self, model: nn.Module) -> Any:
        assert self.subject.optimizer_factory is not None
        try:
            made = self.subject.optimizer_factory(model)
        except Exception as error:
            # It may need a trainer, which the suite has not.
            raise DoesNotApply(
                f"the model's own optimizer cannot be made by itself: {error}; pass optimizer="
            ) from error
        if made is None:
            raise DoesNotApply("the model makes no optimizer of its own; pass optimizer=")
        return made

    def run(self, steps: int, *, flip: bool = False, scale: float = 1.0, model: nn.Module | None = None) -> OwnRun:
        """Train a fresh copy, or ``model`` further, by so many of the user's steps.

        ``flip`` turns every gradient round, ``scale`` multiplies the user's step size.
        """
        subject, seen = self.subject, OwnRun()
        # The suite's batch comes with the shared training run, which must be made here: with gradients, and before the
        # random state is set.
        _ = self.fed
        model = subject.fresh() if model is None else model
        optimizer = self.optimizer_of(model)
        for group in optimizer.param_groups:
            if isinstance(group.get("lr"), float | int | Tensor):
                group["lr"] = group["lr"] * scale
        named = subject.trainable(model)
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        seen.missing = tuple(name for name, p in named.items() if id(p) not in held)
        seen.foreign = len(held - {id(p) for p in model.parameters()})
        start = {name: p.detach().clone() for name, p in named.items()}
        seen.first, seen.registered = self._reference_loss(model), self._reference_loss(model, slice(1))
        seed_everything(subject.seed("own training"))
        with _Watch(subject, model, optimizer, named, seen, flip=flip) as watch:
            for x, y in itertools.islice(itertools.cycle(self.batches), steps):
                # A step may change its batch in place, and the next round would see that.
                x, y = copy.deepcopy((x, y))
                watch.expect_step(y)
                before = watch.parameters() if seen.steps == 0 else None
                returned = self.step(model, optimizer, x, y)
                if before is not None:
                    seen.returned = _number(returned)
                    seen.climb = _cosine(watch.parameters() - before, watch.gradients())
                seen.steps += 1
                subject.tell(f"your training step {seen.steps} of {steps}")
        seen.last = self._reference_loss(model)
        seen.unchanged = tuple(name for name, p in named.items() if torch.equal(p.detach(), start[name]))
        seen.changed = tuple(name for name in named if name not in seen.unchanged)
        return seen

    def step(self, model: nn.Module, optimizer: torch.optim.Optimizer, x: Any, y: Any) -> Any:
        """One of the user's steps, their library's, or the registered loss with their optimizer."""
        if self.subject.spec.train_step is not None:
            return self.subject.spec.train_step(model, optimizer, x, y)
        if self.subject.train_step is not None:
            return self._library_step(model, optimizer, x, y)

        def closure() -> Tensor:
            optimizer.zero_grad()
            output = self.subject.call(model, x)
            loss = self.subject.loss_on_targets(output, self.subject.extract(output), y)
            loss.backward()
            return loss

        wanted = inspect.signature(optimizer.step).parameters.get("closure")
        if wanted is not None and wanted.default is inspect.Parameter.empty:
            return optimizer.step(closure)  # type: ignore[arg-type]
        loss = closure()
        optimizer.step()
        return loss

    def _library_step(self, model: nn.Module, optimizer: torch.optim.Optimizer, x: Any, y: Any) -> Any:
        assert self.subject.train_step is not None
        try:
            return self.subject.train_step(model, optimizer, x, y)
        except Exception as error:
            # That a batch is (x, y) and needs no trainer is the suite's guess, not the user's word.
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DoesNotApply(
                f"training_step cannot be called by itself with a batch (x, y): {said}; pass train_step= or batches="
            ) from error

    def _reference_loss(self, model: nn.Module, batches: slice = slice(None)) -> float:
        modes = [(module, module.training) for module in model.modules()]
        buffers = {name: b.clone() for name, b in model.named_buffers()}
        model.train()
        seed_everything(self.subject.seed("own training"))
        values = []
        with torch.no_grad():
            for x, y in self.fed[batches]:
                output = self.subject.forward(model, x)
                values.append(float(self.subject.loss_on_targets(output, self.subject.extract(output), y)))
            for name, buffer in model.named_buffers():
                if not torch.equal(buffer, buffers[name]):
                    buffer.copy_(buffers[name])
        for module, mode in modes:
            module.training = mode
        return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.nan


class _Watch:
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
        self.watched = dict(_smallest(named))
        self.incoming = {name: torch.zeros_like(p) for name, p in self.watched.items()}
        self._fresh_backward = False
        self._targets: Any = None
        self._handles: list[Any] = []

    def __enter__(self) -> _Watch:
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
        if not torch.is_grad_enabled() or len(self.seen.pulled) >= MOST_BATCHES:
            return
        try:
            logits = self.subject.extract(output)
        except SubjectError:
            # In train mode it may return its loss, or boxes.
            return
        if not logits.requires_grad:
            return
        pulled = Pulled(logits.detach().clone(), copy.deepcopy(self._targets))

        def note(gradient: Tensor) -> None:
            pulled.gradient = gradient.detach() + (0 if pulled.gradient is None else pulled.gradient)

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
        if closure is None and len(self.seen.taken) < MOST_BATCHES:
            given = [torch.zeros_like(p) if p.grad is None else _dense(p.grad) for p in self.watched.values()]
            self.seen.taken.append(Taken(given=_flat(given), incoming=_flat(self.incoming.values())))
        for total in self.incoming.values():
            total.zero_()


def _smallest(named: dict[str, nn.Parameter]) -> Iterator[tuple[str, nn.Parameter]]:
    """The smallest parameters that together have at most ``WATCHED`` numbers; one at least."""
    total = 0
    for name, p in sorted(named.items(), key=lambda pair: pair[1].numel()):
        total += p.numel()
        if total > WATCHED and total > p.numel():
            return
        yield name, p


def _cosine(one: Tensor, other: Tensor) -> float:
    size = float(one.norm() * other.norm())
    return float(one @ other) / size if size > 0 else 0.0


def _number(returned: Any) -> float | None:
    """What a step returned, as a number; None where it is none."""
    if isinstance(returned, Tensor) and returned.numel() == 1:
        return float(returned.detach())
    return float(returned) if isinstance(returned, int | float) else None


def _dense(gradient: Tensor) -> Tensor:
    return gradient.detach().to_dense() if gradient.is_sparse else gradient.detach()


def _flat(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [t.detach().double().flatten().clone() for t in tensors]


def fed_batches(subject: Subject) -> list[tuple[Any, Any]]:
    """The user's batches with x as the model gets it: where it refuses x as it is, what the user's step makes of it."""
    return subject.remember("fed batches", lambda: _fed_batches(subject))


def _fed_batches(subject: Subject) -> list[tuple[Any, Any]]:
    batches = users_batches(subject)
    step, model = subject.spec.train_step, subject.fresh()
    if step is None or isinstance(model, torch.jit.ScriptModule):
        return batches
    try:
        subject.scores(model, batches[0][0], purpose="batches")
    except SubjectError:
        raise
    except Exception:
        # What is wrong with it the step may mend: the model's own words come from the step where it does not.
        handed: list[Any] = []

        def note(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            handed.append(copy.deepcopy(kwargs if kwargs and not args else args[0] if len(args) == 1 else args))

        found, model = [], subject.fresh()
        made = OwnTraining(subject).optimizer_of(model)
        with model.register_forward_pre_hook(note, with_kwargs=True):
            for x, y in batches:
                handed.clear()
                step(model, made, *copy.deepcopy((x, y)))
                found.append((handed[0] if handed else x, y))
        return found
    return batches


def users_batches(subject: Subject) -> list[tuple[Any, Any]]:
    """The first pairs (x, y) of ``batches=``.

    Raises:
        SubjectError: it gives no batch, or something that is no pair.
    """
    assert subject.spec.batches is not None
    seed_everything(subject.seed("batches"))
    found = list(itertools.islice(iter(subject.spec.batches()), MOST_BATCHES))
    if not found:
        raise SubjectError(f"batches= of {subject.name!r} gives no batch")
    for pair in found:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not tensors_in(pair[0]):
            kind = f"a {type(pair).__name__}" + (f" of {len(pair)}" if hasattr(pair, "__len__") else "")
            raise SubjectError(f"batches= of {subject.name!r} must give pairs (x, y) of tensors; it gave {kind}")
    return [(x, y) for x, y in found]
