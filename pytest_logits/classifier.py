"""A classifier as users get it, in checks of their own and from the fixture ``logit_classifier``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.guard import preserved_state
from pytest_logits.model import ARGUMENTS, RegistrationError, make_spec, nearest
from pytest_logits.placing import CPU, placed
from pytest_logits.settings import Settings
from pytest_logits.subject import Subject

T = TypeVar("T")

# The arguments of ``register`` that say what a batch is made of.
OF_BATCHES = ("num_classes", "task", "input_shape", "vocab_size", "inputs")


class Classifier:
    """A registered classifier: fresh copies of it, inputs it takes, and its loss.

    What is random comes from the session's seed, so a method gives the same each time it is called, in each process.
    Tensors are on the device of the session, as the models are. None of the methods changes the global random state but
    the model itself, where it uses it.
    """

    def __init__(self, find: Callable[[], Subject]) -> None:
        self._find = find

    @property
    def subject(self) -> Subject:
        """What the checks look at. Not for users: it changes with the checks' needs."""
        return self._find()

    def __repr__(self) -> str:
        return f"<Classifier {self.name}>"

    @property
    def name(self) -> str:
        """The name it is registered by."""
        return self.subject.name

    @property
    def num_classes(self) -> int:
        """The number of classes K; 2 for a binary classifier, which may have one logit."""
        return self.subject.num_classes

    @property
    def task(self) -> str:
        """``"multiclass"``, ``"binary"`` or ``"multilabel"``."""
        return self.subject.spec.task

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of ``register`` as they were given, with the defaults of the rest."""
        return {name: getattr(self.subject.spec, name) for name in ARGUMENTS}

    def seed(self, purpose: str) -> int:
        """A seed below 2**63 for one purpose, derived from the session's seed and the model's name."""
        return self.subject.seed(purpose)

    def make(self) -> nn.Module:
        """A fresh copy in train mode, with the same initial weights each time."""
        with preserved_state():
            return self.subject.fresh()

    def inputs(self, count: int = SCAN_ROWS, *, purpose: str = "own") -> Any:
        """A batch of ``count`` random inputs as the model takes it; another one for another ``purpose``.

        Returns:
            a tensor (count, *input_shape), standard normal or int64 tokens; or what ``inputs=`` makes: a tensor, a
            tuple (positional) or a dict (keywords).
        """
        with preserved_state():
            return self._there(self.subject.inputs(count, purpose))

    def separable_batch(self) -> tuple[Any, Tensor]:
        """A batch that a working classifier can learn by heart: each class in use has its own input pattern.

        Returns:
            inputs as the model takes them, and labels: int64 (N,), (N, *dense) where the logits are (N, K, *dense),
            or multi-hot (N, K). N is 16, or twice the number of classes in use if that is more.
        """
        with preserved_state():
            batch = self.subject.separable_batch()
            if self.subject.multilabel:
                return self._there((batch.inputs, batch.labels))
            dense = self.subject.sample_logits.shape[2:]
            labels = batch.labels.view(-1, *(1 for _ in dense)).expand(-1, *dense)
            return self._there((batch.inputs, labels.clone()))

    def logits(self, model: nn.Module, inputs: Any) -> Tensor:
        """The scores in what a copy returns for these inputs: (N, K, ...), (N, 1) or (N,), with their graph.

        Runs in the mode that the copy is in, under the random state and the grad mode of the caller.
        """
        return self._there(self.subject.logits_of(model, inputs))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The registered loss, a scalar, of scores and labels; the labels are encoded as the loss takes them.

        A loss that takes the whole output gets that of a sample, with these scores in the place of its own.
        """
        if self.subject.spec.loss_takes == "output":
            with preserved_state(), torch.no_grad():
                _ = self.subject.sample_output
        return self._there(self.subject.loss(*placed((logits, labels), CPU)))

    def _there(self, held: T) -> T:
        """On the device that the model is on."""
        on_device: T = placed(held, self.subject.device)
        return on_device


def separable_batch_of(
    settings: Settings, arguments: Mapping[str, Any], *, file: Path, line: int
) -> tuple[Any, Tensor]:
    """What :meth:`Classifier.separable_batch` gives for a model that takes such inputs, in the default dtype.

    Raises:
        RegistrationError: an argument says nothing about inputs or labels, or is wrong.
    """
    for unknown in (name for name in arguments if name not in OF_BATCHES):
        raise RegistrationError(
            f"separable_batch ({file}:{line}): unknown argument {unknown!r}; {nearest(unknown, OF_BATCHES)}"
        )
    spec = make_spec(nn.Identity, file=file, line=line, arguments={**arguments, "name": "separable_batch"})
    with preserved_state():
        subject = Subject(spec, settings)
        batch = subject.separable_batch()
    return placed(batch.inputs, subject.device), batch.labels.to(subject.device)
