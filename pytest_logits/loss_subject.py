"""A loss as the checks of losses see it: a function of scores and labels, registered by itself or of a model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pytest_logits.copies import DoesNotApply, SubjectError
from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.finding import Passes
from pytest_logits.guard import seed_everything
from pytest_logits.loss_code import first_argument, name_of
from pytest_logits.loss_shapes import DENSE, LossShapes
from pytest_logits.losses import (
    NAMED,
    Form,
    Nature,
    encode_targets,
    infer_nature,
    known_nature,
    plain,
    treats_classes_alike,
)
from pytest_logits.model import LossSpec
from pytest_logits.placing import running_on
from pytest_logits.refusals import is_single_column, refusal_of, require_taken
from pytest_logits.settings import Settings, derive_seed
from pytest_logits.structures import repeats
from pytest_logits.subject import Subject

# Of scores for a loss that treats all classes alike, so many classes are looked at.
MOST_CLASSES = 1000


class LossSubject:
    """One loss under check. Scores are (N, K), (N, K, *dense), (N, 1) or (N,); labels are as for ``register``.

    ``passes`` counts evaluations of the loss as forward passes, and of its gradient as backward passes.
    """

    build_generated = None

    def __init__(
        self,
        *,
        name: str,
        loss: Any,
        settings: Settings,
        task: str = "multiclass",
        encoding: str | Callable[..., Any] | None = None,
        num_classes: int | None = None,
        reduction: str | None = None,
        sample_logits: Tensor | None = None,
        nature: Nature | None = None,
        loss_name: str | None = None,
        call: Callable[[Tensor, Any], Tensor] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """With ``call`` the loss is that of a model, whose scores are as ``sample_logits``."""
        self.name = name
        self.settings = settings
        self.task = task
        self.encoding = encoding
        self.reduction = reduction
        self.loss_object = loss
        self.dtype = dtype
        self.passes = Passes()
        self.tell: Callable[[str], None] = lambda what: None
        self.threads = 1
        self._given_classes = num_classes
        self._given_sample = sample_logits
        self._given_nature = nature
        self._call = call
        self._in_dtype: dict[torch.dtype, Any] = {dtype: self.loss_object}
        self.loss_name = loss_name or (loss if isinstance(loss, str) else name_of(loss))

    @classmethod
    def registered(cls, spec: LossSpec, settings: Settings) -> LossSubject:
        """The subject of a loss that is registered by itself. A module is copied, and never changed."""
        loss: Any = spec.loss
        if isinstance(loss, type):
            try:
                loss = loss()
            except TypeError as error:
                raise SubjectError(
                    f"the loss {spec.name!r} is a class that cannot be made without arguments: {error}; register "
                    "an instance of it"
                ) from None
        elif isinstance(loss, nn.Module):
            loss = copy.deepcopy(loss)
        return cls(
            name=spec.name,
            loss=loss,
            settings=settings,
            task=spec.task,
            encoding=spec.targets,
            num_classes=spec.num_classes,
            reduction=spec.reduction,
        )

    @classmethod
    def of_model(cls, subject: Subject) -> LossSubject:
        """The loss of a model, on scores in the shape of its own, where alike of its first thousand classes."""
        whole = subject.spec.loss_takes == "output"
        sample = subject.sample_logits
        if not whole and not callable(subject.spec.targets) and treats_classes_alike(subject.loss_object):
            sample = sample[:, :MOST_CLASSES] if sample.ndim > 1 else sample
        return cls(
            name=subject.name,
            loss=subject.loss_object,
            settings=subject.settings,
            task=subject.spec.task,
            encoding=subject.spec.targets,
            sample_logits=sample,
            nature=subject.nature,
            loss_name=subject.loss_name,
            call=subject.loss_at if whole else None,
            dtype=subject.dtype,
        )

    # Calls

    @cached_property
    def device(self) -> torch.device:
        """Where the loss runs."""
        return torch.device(self.settings.device)

    def seed(self, purpose: str) -> int:
        """The seed for one purpose; of a plain loss of torch's the same for every model."""
        return derive_seed(self.settings.seed, plain(self.loss_object) or self.name, purpose)

    def count(self, *, forward: int = 0, backward: int = 0) -> None:
        """Add evaluations to what the check has cost."""
        self.passes = Passes(forward=self.passes.forward + forward, backward=self.passes.backward + backward)

    def each(self, logits: Tensor, labels: Tensor) -> Tensor:
        """What the loss returns: a scalar, or one value per row or element where it does not reduce."""
        return self.each_at(logits, self.targets(labels, logits))

    def each_at(self, logits: Tensor, targets: Any) -> Tensor:
        """The same with targets that are encoded already.

        Raises:
            SubjectError: the loss returns no tensor.
        """
        self.count(forward=1)
        value = self._function(logits.dtype)(logits, targets)
        if not isinstance(value, Tensor):
            raise SubjectError(f"the loss {self.loss_name!r} must return a tensor; it returned {type(value).__name__}")
        return value

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss as a scalar; rows are added up."""
        return self.loss_at(logits, self.targets(labels, logits))

    def loss_at(self, logits: Tensor, targets: Any) -> Tensor:
        """The same with targets that are encoded already."""
        value = self.each_at(logits, targets)
        return value.reshape(()) if value.numel() == 1 else value.sum()

    def gradient(self, logits: Tensor, labels: Tensor) -> tuple[float, Tensor]:
        """Value and gradient, in float64; a loss without a gradient has the gradient 0."""
        leaf = logits.detach().clone().requires_grad_()
        with torch.enable_grad():
            value = self.loss(leaf, labels)
            if not value.requires_grad:
                return float(value), torch.zeros_like(leaf, dtype=torch.float64)
            self.count(backward=1)
            (gradient,) = torch.autograd.grad(value, leaf, allow_unused=True)
        return float(value.detach()), (torch.zeros_like(leaf) if gradient is None else gradient).double()

    def targets(self, labels: Tensor, logits: Tensor) -> Tensor:
        """The labels as the loss is fed with them; a loss of the user's own by its task, before it is probed."""
        known = known_nature(self.loss_object)
        form: Form = known.form if known else "categorical" if self.task == "multiclass" else "bernoulli"
        return encode_targets(labels, logits, encoding=self.encoding, form=form)

    def _function(self, dtype: torch.dtype) -> Callable[[Tensor, Any], Any]:
        if self._call is not None:
            return self._call
        if dtype not in self._in_dtype:
            loss = self.loss_object
            self._in_dtype[dtype] = copy.deepcopy(loss).to(dtype) if isinstance(loss, nn.Module) else loss
        loss = self._in_dtype[dtype]
        return running_on(self.device, NAMED[loss][0] if isinstance(loss, str) else loss)

    @property
    def is_of_output(self) -> bool:
        """Whether the loss is called with the whole output of a model, or otherwise through the model."""
        return self._call is not None

    def accepts(self, logits: Tensor, labels: Tensor) -> bool:
        """Whether the loss gives a number without raising."""
        try:
            return not bool(self.each(logits, labels).isnan().any())
        except SubjectError:
            raise
        except Exception:
            # A loss may raise anything about what it does not take.
            return False

    # What it takes

    @property
    def names_logits(self) -> bool:
        """Whether a loss that is registered by itself calls its first argument logits."""
        if self._given_sample is not None or known_nature(self.loss_object) is not None:
            return False
        return "logit" in first_argument(self.loss_object)

    @property
    def may_take_probabilities(self) -> bool:
        """Whether a loss that is not recognised may be one of probabilities, as Dice often is."""
        if self.nature.takes != "unknown":
            return False
        sample = self._given_sample
        if sample is None:
            return not self.names_logits
        return bool(((sample >= 0) & (sample <= 1)).all())

    @property
    def multilabel(self) -> bool:
        """Whether labels are multi-hot."""
        return self.task == "multilabel"

    @cached_property
    def trailing(self) -> tuple[int, ...]:
        """The shape of the scores of one example: (K, *dense), (1,) or ()."""
        if self._given_sample is not None:
            return tuple(self._given_sample.shape[1:])
        return self._shapes.trailing

    @cached_property
    def _shapes(self) -> LossShapes:
        return LossShapes(
            accepts=self.accepts,
            loss=self.loss_object,
            task=self.task,
            encoding=self.encoding,
            classes=self._given_classes,
            dtype=self.dtype,
        )

    @cached_property
    def takes_dense(self) -> bool:
        """Whether a loss that is registered by itself also takes scores (N, K, T) with labels (N, T)."""
        free = self._given_sample is None and self.task == "multiclass" and len(self.trailing) == 1
        return free and self._shapes.takes((*self.trailing, *DENSE))

    def dense(self) -> LossSubject:
        """The same loss on scores (N, K, T)."""
        return LossSubject(
            name=self.name,
            loss=self.loss_object,
            settings=self.settings,
            encoding=self.encoding,
            sample_logits=torch.zeros((SCAN_ROWS, *self.trailing, *DENSE), dtype=self.dtype),
            nature=self.nature,
            dtype=self.dtype,
        )

    @property
    def any_classes(self) -> bool:
        """Whether the number of classes is free."""
        return self.says_no_classes and self._shapes.probed_classes is None

    @property
    def says_no_classes(self) -> bool:
        """Whether the number of classes is neither registered nor that of a model."""
        return self._given_sample is None and self._given_classes is None and self.task != "binary"

    @cached_property
    def sample_logits(self) -> Tensor:
        """Scores in the shape that the loss is fed with, (16, ...); those of the model, where it is a model's loss."""
        if self._given_sample is not None:
            return self._given_sample
        rng = torch.Generator().manual_seed(self.seed("sample") % 2**63)
        return torch.randn((SCAN_ROWS, *self.trailing), generator=rng).to(self.dtype)

    @property
    def num_classes(self) -> int:
        """K: the width of the class axis, 2 where there is one score per example."""
        return max(self.trailing[0], 2) if self.trailing else 2

    @cached_property
    def sample_labels(self) -> Tensor:
        """Labels for the sample that go through the classes: (16,), (16, *dense), or multi-hot (16, K)."""
        return self.labels_through(SCAN_ROWS)

    def labels_through(self, rows: int) -> Tensor:
        """Labels of so many rows that go through the classes."""
        each = torch.arange(rows)
        if self.multilabel:
            return (each.unsqueeze(1) + torch.arange(self.trailing[0])) % 2
        dense = self.trailing[1:]
        return (each % self.num_classes).view(-1, *(1 for _ in dense)).expand(-1, *dense)

    @cached_property
    def nature(self) -> Nature:
        """What the loss takes, known by its name or found out by probing it."""
        known = self._given_nature or known_nature(self.loss_object)
        if known is not None:
            return known
        classes = self.trailing[0] if self.trailing else None
        return infer_nature(self.loss, classes=classes, multilabel=self.multilabel, dtype=self.dtype)

    @cached_property
    def has_single_column(self) -> bool:
        """Whether a loss over classes gets one score per example."""
        return is_single_column(self)

    @cached_property
    def refusal(self) -> Exception | None:
        """What the loss raises on scores of zero; None where it takes its targets."""
        return refusal_of(self)

    def require_targets(self) -> None:
        """Raise ``DoesNotApply`` where the loss refuses its targets."""
        require_taken(self)

    def require_function(self) -> None:
        """Say that a check does not apply where the loss is no function of scores and labels.

        Raises:
            DoesNotApply: two evaluations on the same scores, from different random states, differ.
        """
        scores, labels = self.nature.link(self.sample_logits), self.sample_labels
        values = []
        for purpose in ("first call", "second call"):
            seed_everything(self.seed(purpose))
            values.append(self.each(scores, labels).detach())
        if not repeats(*values):
            raise DoesNotApply(
                f"{self.loss_name} gives two values for the same scores and labels: it is random or keeps a state"
            )

    @cached_property
    def wide(self) -> torch.dtype:
        """float64 where the loss takes it, else its own dtype: what it computes is recognised there."""
        try:
            taken = self.accepts(self.nature.link(self.sample_logits.double()), self.sample_labels)
        except SubjectError:
            taken = False
        return torch.float64 if taken else self.dtype


def as_loss(subject: Subject | LossSubject) -> LossSubject:
    """The loss under check: the subject itself, or the loss of a model, made once."""
    if isinstance(subject, LossSubject):
        return subject
    return subject.remember("loss", lambda: LossSubject.of_model(subject))
