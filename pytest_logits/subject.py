"""A registered model as the checks see it: copies, batches, and from them logits, losses and counted passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pytest_logits.copies import DoesNotApply, SubjectError
from pytest_logits.feeding import SCAN_ROWS, Feeding
from pytest_logits.finding import Passes, Verdict
from pytest_logits.guard import seed_everything
from pytest_logits.losses import NAMED, Form, Nature, encode_targets, infer_nature, known_nature
from pytest_logits.model import ModelSpec
from pytest_logits.placing import CPU, placed, running_on
from pytest_logits.refusals import is_single_column, refusal_of, require_taken
from pytest_logits.regions import Extent, Region, confirmed_region
from pytest_logits.reused import Reused, Scattered
from pytest_logits.scanning import free_scan_of, scan_of
from pytest_logits.settings import Settings
from pytest_logits.structures import called, copied, find_logits, index_rows, no_scores, replaced

T = TypeVar("T")


class Subject(Feeding):
    """One model under check."""

    def __init__(
        self, spec: ModelSpec, settings: Settings, *, build_generated: Callable[[int], nn.Module] | None = None
    ) -> None:
        """``build_generated`` makes a generated classifier's module with a head of so many outputs."""
        super().__init__(spec, settings)
        self.build_generated = build_generated
        self.passes = Passes()
        self._remembered: dict[str, Any] = {}
        self._reused: Reused | None = None
        self.tell: Callable[[str], None] = lambda what: None

    # Passes

    def count(self, *, forward: int = 0, backward: int = 0) -> None:
        """Add passes to what the check has cost."""
        self.passes = Passes(forward=self.passes.forward + forward, backward=self.passes.backward + backward)

    def logits_of(self, model: nn.Module, inputs: Any) -> Tensor:
        """One counted forward pass, and the scores in what it returns."""
        return self.extract(self.forward(model, inputs))

    def scores(self, model: nn.Module, inputs: Any, *, purpose: str) -> Tensor:
        """The logits to look at: detached, without a graph, from the random state that ``purpose`` names."""
        seed_everything(self.seed(purpose))
        with torch.no_grad():
            return self.logits_of(model, inputs).detach()

    def materialise(self, model: nn.Module) -> None:
        """One forward pass for lazy layers to take their shapes from."""
        self.logits_of(model, self.inputs(SCAN_ROWS, "materialise"))

    def predict(self, model: nn.Module, inputs: Any) -> Any:
        """What the registered ``predict=`` gives, without a graph; counted as one forward pass."""
        assert self.spec.predict is not None
        self.count(forward=1)
        with torch.no_grad():
            return placed(self.spec.predict(model, placed(copied(inputs), self.device)), CPU)

    def forward(self, model: nn.Module, inputs: Any) -> Any:
        """One counted forward pass: the model's output as it is."""
        self.count(forward=1)
        return self.call(model, inputs)

    def call(self, model: nn.Module, inputs: Any) -> Any:
        """The model's output, not counted: for who counts through a hook."""
        if self.device == CPU:
            return called(model, inputs)
        return placed(called(model, placed(inputs, self.device)), CPU)

    def extract(self, output: Any) -> Tensor:
        """The scores in a model's output: by ``logits=``, else a tensor, ``.logits``, ``["logits"]``, first of a tuple.

        Raises:
            SubjectError: no tensor of floats is found there.
        """
        found = self.spec.logits(output) if self.spec.logits is not None else find_logits(output)
        if not isinstance(found, Tensor) or no_scores(found):
            own = self.spec.logits is not None
            what, hint = ("logits=", "") if own else ("the model", "; pass logits= to say where the scores are")
            kind = no_scores(found) if isinstance(found, Tensor) else type(found if own else output).__name__
            raise SubjectError(
                f"{what} of {self.name!r} must give a floating-point tensor of scores; it gave {kind}{hint}"
            )
        return found

    def backward(self, loss: Tensor) -> None:
        """One counted backward pass."""
        self.count(backward=1)
        loss.backward()

    # Loss

    @cached_property
    def sample_output(self) -> Any:
        """What a fresh copy returns for 16 random inputs, without a graph."""
        model = self._first_copy() or self.fresh()
        seed_everything(self.seed("sample"))
        with torch.no_grad():
            return self.forward(model, self.inputs(SCAN_ROWS, "scan"))

    def _first_copy(self) -> nn.Module | None:
        """The copy that is to be used again, if nobody has used it yet."""
        if self._reused is None:
            with suppress(Exception):
                return self.reused.scattered(0.0)
        return None

    @cached_property
    def sample_logits(self) -> Tensor:
        """Scores of a fresh copy on random inputs, detached, (16, K, ...), (16, 1) or (16,).

        Raises:
            DoesNotApply: they have another number of rows, which output_shape_is_stable reports.
        """
        found = self.extract(self.sample_output).detach()
        if found.shape[:1] != (SCAN_ROWS,):
            shape = tuple(found.shape)
            raise DoesNotApply(f"a batch of {SCAN_ROWS} gives logits of shape {shape}, see output_shape_is_stable")
        return found

    def require_rows(self) -> None:
        """Say that a check does not apply where the logits have no row for each example.

        Raises:
            DoesNotApply: they have not.
        """
        _ = self.sample_logits

    @cached_property
    def nature(self) -> Nature:
        """What the loss takes, known by its name or found out by probing it."""
        loss = self.loss_object
        if self._trains_in_its_step:
            return Nature(takes="unknown", form="categorical" if self.spec.task == "multiclass" else "bernoulli")
        known = known_nature(loss)
        if known is not None:
            return known
        shape = self.sample_logits.shape
        return infer_nature(
            self.loss,
            classes=shape[1] if len(shape) > 1 else None,
            multilabel=self.multilabel,
            dtype=self.dtype,
        )

    @cached_property
    def own_losses(self) -> tuple[float, float] | None:
        """The loss that the model computes itself, as Lightning and Hugging Face models do, and the one the suite uses.

        Both of the same batch from the same random state; None where the model computes none, or a loss is registered.
        """
        own = self.convention.own_loss
        if own is None or self.spec.loss is not None or self.refusal is not None:
            return None
        model, inputs = self.fresh(), self.inputs(SCAN_ROWS, "own loss")
        targets, values = self.targets(self.sample_labels, torch.zeros_like(self.sample_logits)), []
        there = placed(inputs, self.device)
        for compute in (
            lambda y: own(model, there, placed(y, self.device)),
            lambda y: self._loss_of_forward(model, inputs, y),
        ):
            seed_everything(self.seed("own loss"))
            self.count(forward=1)
            with torch.no_grad():
                try:
                    value = compute(targets)
                except Exception:
                    # A step may want its batch in another form, or a trainer: then it cannot be compared.
                    return None
            if not isinstance(value, Tensor) or value.numel() != 1:
                return None
            values.append(float(value))
        return values[0], values[1]

    @property
    def computes_registered_loss(self) -> bool:
        """Whether the two of ``own_losses`` are equal, up to rounding."""
        return self.own_losses is not None and math.isclose(*self.own_losses, rel_tol=1e-3, abs_tol=1e-5)

    @cached_property
    def sample_labels(self) -> Tensor:
        """Labels for the sample logits that go through the classes: (16,), (16, *dense), or multi-hot (16, K)."""
        rows, dense = torch.arange(len(self.sample_logits)), self.sample_logits.shape[2:]
        if self.multilabel:
            return (rows.unsqueeze(1) + torch.arange(self.num_classes)) % 2
        return (rows % self.num_classes).view(-1, *(1 for _ in dense)).expand(-1, *dense)

    def _loss_of_forward(self, model: nn.Module, inputs: Any, targets: Tensor) -> Tensor:
        output = self.call(model, inputs)
        return self.loss_on_targets(output, self.extract(output), targets)

    @property
    def loss_object(self) -> Any:
        """The registered loss: a name, a module or a callable; by default the library's, or the one of the task."""
        if self.spec.loss is not None:
            return self.spec.loss
        if self.convention.loss is not None:
            return self.convention.loss
        return "cross_entropy" if self.spec.task == "multiclass" else "bce_with_logits"

    @property
    def _trains_in_its_step(self) -> bool:
        """Whether the loss that trains is inside a Lightning training step, of scores that only the step sees."""
        lightning = self.convention.name == "Lightning" and self.spec.loss is None
        return lightning and self.refusal is None and not self.computes_registered_loss

    @property
    def loss_name(self) -> str:
        """How the loss is called in a sentence."""
        loss = self.loss_object
        if self._trains_in_its_step:
            return "the training step's own loss"
        if isinstance(loss, str):
            return loss
        return getattr(loss, "__name__", None) or type(loss).__name__

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The user's loss, a scalar, of scores and labels; targets are encoded as declared.

        A loss that takes the whole output gets the sample output with these scores in the place of its own, and of
        every auxiliary head's.
        """
        return self.loss_at(logits, self.targets(labels, logits))

    def loss_at(self, logits: Tensor, targets: Any) -> Tensor:
        """The same with targets that are encoded already."""
        output = logits
        if self.spec.loss_takes == "output":
            # What it holds beside the scores has as many rows as they have.
            rows = torch.arange(len(logits)) % SCAN_ROWS
            output = replaced(index_rows(self.sample_output, rows, SCAN_ROWS), self.sample_logits, logits)
        return self.loss_on_targets(output, logits, targets)

    def loss_of(self, output: Any, logits: Tensor, labels: Tensor) -> Tensor:
        """The user's loss of what the model returned, or of the scores in it, whichever it takes."""
        return self.loss_on_targets(output, logits, self.targets(labels, logits))

    def loss_on_targets(self, output: Any, logits: Tensor, targets: Any) -> Tensor:
        """The same with targets that are encoded already, as the user's own batches have them.

        Raises:
            SubjectError: the loss returns no scalar.
        """
        given = output if self.spec.loss_takes == "output" else logits
        value = self._loss_function(given, targets)
        if not isinstance(value, Tensor) or value.numel() != 1:
            shape = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise SubjectError(
                f"loss= of {self.name!r} must return a scalar tensor (use reduction='mean'); it returned {shape}"
            )
        return value.reshape(())

    @cached_property
    def _loss_function(self) -> Callable[..., Any]:
        loss = self.loss_object
        return running_on(self.device, NAMED[loss][0] if isinstance(loss, str) else loss)

    def targets(self, labels: Tensor, logits: Tensor) -> Tensor:
        """The labels as the loss is fed with them; a loss of the user's own by its task, before it is probed."""
        known = known_nature(self.loss_object)
        form: Form = known.form if known else "categorical" if self.spec.task == "multiclass" else "bernoulli"
        return encode_targets(labels, logits, encoding=self.spec.targets, form=form)

    @cached_property
    def has_single_column(self) -> bool:
        """Whether a loss over classes gets one score per example."""
        return is_single_column(self)

    @cached_property
    def refusal(self) -> Exception | None:
        """What the loss raises on scores of zero in the shape of the model's; None where it takes its targets."""
        return refusal_of(self)

    def require_targets(self) -> None:
        """Raise ``DoesNotApply`` where the loss refuses its targets."""
        require_taken(self)

    def require_range(self) -> None:
        """Say that a check does not apply where the loss raises on the model's own scores, as BCE on logits does.

        Raises:
            DoesNotApply: it does.
        """
        if self.nature.takes == "probabilities" and self.nature.form == "bernoulli" and not self.scan.holds("unit"):
            raise DoesNotApply(f"{self.loss_name} takes probabilities and the outputs are none, see outputs_are_logits")

    def decide(self, logits: Tensor) -> Tensor:
        """The decisions that the loss implies: class indices (N, ...), or multi-hot (N, K)."""
        if not self.multilabel and logits.ndim > 1 and logits.shape[1] > 1:
            return logits.argmax(dim=1)
        threshold = 0.5 if self.nature.takes == "probabilities" else 0.0
        decided = (logits > threshold).long()
        return decided if self.multilabel or decided.ndim < 2 else decided.squeeze(1)

    # Shared evidence

    @property
    def reused(self) -> Reused:
        """A copy that is scattered again and again, made when it is first asked for."""
        if self._reused is None:
            self._reused = Reused(self)
        return self._reused

    def to_train(self) -> nn.Module:
        """A fresh copy. Beside a large one, its gradients and its optimizer's state one copy more has room, not two."""
        if not self.is_small:
            self.forget_reused()
        model = self.fresh()
        self.forget_spare()
        return model

    def forget_reused(self) -> None:
        """Give back the memory of the copy that is used again."""
        self._reused = None

    def forget_copies(self) -> None:
        """Give back the memory of what copies are made of too: another model has its turn."""
        self.forget_reused()
        self.forget_spare()
        self.forget_draws()
        self.forget_noise()

    def in_one_copy(self, judge: Callable[[Scattered], Verdict]) -> Verdict:
        """What ``judge`` says of a copy that is used again, where it passes; else what it says of fresh ones."""
        with suppress(Exception):
            verdict = judge(self.reused.scattered)
            if verdict.outcome == "passed":
                return verdict
        return judge(self.scattered)

    @cached_property
    def scan(self) -> Extent:
        """Outputs in train mode, as the loss sees them, of copies with scattered parameters; the first as initialised.

        A copy that is used again is enough where they are not confined.
        """
        inputs = self.inputs(SCAN_ROWS, "scan")
        with suppress(Exception):
            free = free_scan_of(lambda amount: self.scores(self.reused.scattered(amount), inputs, purpose="scan"))
            if free is not None:
                return free

        def scores(amount: float, variant: int, head_only: bool) -> Tensor:
            return self.scores(self.scattered(amount, variant, head_only=head_only), inputs, purpose="scan")

        return scan_of(scores)

    @property
    def stays_small(self) -> bool:
        """Whether all scores lie in [-1, 1] in every setting of the scan and no activation accounts for it: cosines.

        Without parameters there is one setting only, which says nothing.
        """
        small = self.region == "free" and self.scan.rows > 0 and self.scan.low < 0 and self.scan.holds("symmetric")
        return small and self.has_parameters

    @cached_property
    def region(self) -> Region:
        """The narrowest region that the outputs are confined to by construction."""
        return confirmed_region(self.scan)

    def remember(self, key: str, make: Callable[[], T]) -> T:
        """What ``make`` returned the first time: evidence that several checks read, such as a training run."""
        if key not in self._remembered:
            self._remembered[key] = make()
        found: T = self._remembered[key]
        return found
