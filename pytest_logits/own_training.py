"""The user's own training step and optimizer, run as they are and watched from outside.

Nothing of the user's is changed but, for a proof, the sign of the gradients or the step size.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import math
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pytest_logits.copies import DoesNotApply, SubjectError
from pytest_logits.descent import plain
from pytest_logits.guard import seed_everything
from pytest_logits.learning import learning_run
from pytest_logits.placing import CPU, placed
from pytest_logits.step_watch import OwnRun, Watch, cosine, smallest
from pytest_logits.structures import index_rows, tensors_in
from pytest_logits.subject import Subject

# Batches that are taken from ``batches=``.
MOST_BATCHES = 8
DEFAULT_STEP_SIZE = 1e-2


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
        return tuple(name for name, _ in smallest(self.subject.trainable(self.subject.fresh())))

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
            # A step of the user's own gets torch's as it is.
            kind = plain(torch.optim.SGD, watched=True) if self.subject.train_step is None else torch.optim.SGD
            return kind(self.subject.trainable(model).values(), lr=DEFAULT_STEP_SIZE)
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
        model = subject.to_train() if model is None else model
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
        with Watch(subject, model, optimizer, named, seen, flip=flip) as watch:
            for x, y in itertools.islice(itertools.cycle(self.batches), steps):
                # A step may change its batch in place, and the next round would see that.
                x, y = copy.deepcopy((x, y))
                watch.expect_step(y)
                before = watch.parameters() if seen.steps == 0 else None
                returned = self.step(model, optimizer, x, y)
                if before is not None:
                    seen.returned = _number(returned)
                    seen.climb = cosine(watch.parameters() - before, watch.gradients())
                seen.steps += 1
                subject.tell(f"your training step {seen.steps} of {steps}")
        seen.last = self._reference_loss(model)
        seen.unchanged = tuple(name for name, p in named.items() if torch.equal(p.detach(), start[name]))
        seen.changed = tuple(name for name in named if name not in seen.unchanged)
        for index, name in enumerate(watch.watched) if seen.taken else ():
            pushed = torch.stack([taken.given[index] != 0 for taken in seen.taken]).any(dim=0)
            moved = pushed & (named[name].detach() != start[name]).flatten()
            seen.pushed, seen.moved = seen.pushed + int(pushed.sum()), seen.moved + int(moved.sum())
            seen.moved_from_zero += int((moved & (start[name] == 0).flatten()).sum())
        return seen

    def step(self, model: nn.Module, optimizer: torch.optim.Optimizer, x: Any, y: Any) -> Any:
        """One of the user's steps, their library's, or the registered loss with their optimizer."""
        x, y = placed((x, y), self.subject.device)
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


def _number(returned: Any) -> float | None:
    """What a step returned, as a number; None where it is none."""
    if isinstance(returned, Tensor) and returned.numel() == 1:
        return float(returned.detach())
    return float(returned) if isinstance(returned, int | float) else None


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
            given = kwargs if kwargs and not args else args[0] if len(args) == 1 else args
            handed.append(placed(copy.deepcopy(given), CPU))

        found, model = [], subject.to_train()
        made = OwnTraining(subject).optimizer_of(model)
        with model.register_forward_pre_hook(note, with_kwargs=True):
            for x, y in batches:
                handed.clear()
                step(model, made, *placed(copy.deepcopy((x, y)), subject.device))
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
