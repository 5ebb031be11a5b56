"""A registered model as the checks see it: fresh seeded copies, batches of any size, logits, loss, counted passes."""

from __future__ import annotations

import copy
import fnmatch
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_logits import data
from pytest_logits.conventions import Convention, convention_of, module_of, special_tokens
from pytest_logits.finding import Passes
from pytest_logits.guard import seed_everything
from pytest_logits.losses import NAMED, Form, Nature, encode_targets, infer_nature, known_nature
from pytest_logits.model import ModelSpec, nearest
from pytest_logits.regions import CLIPPED_SETTINGS, Extent, Region, confirmed_region
from pytest_logits.settings import Settings, derive_seed
from pytest_logits.structures import find_logits, index_rows, replaced, tensors_in

T = TypeVar("T")

# Enough rows for row sums to be evidence and for BatchNorm to have statistics.
SCAN_ROWS = 16
# Scattered this much, an activation that bends only large scores has bent some.
BENT = 16.0
# How much the parameters are scattered, relative to their size, when outputs are looked at: none, mildly, and so
# strongly that whatever can saturate does.
SCATTER = (0.0, 1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0)
DEFAULT_SEQUENCE = (16,)
SMALL_MODEL = 1_000_000


class SubjectError(Exception):
    """The model, or a function registered with it, does not behave as declared. Says which and how to mend it."""


class DoesNotApply(Exception):
    """What a check needs is not to be had, for a reason that another check reports. Becomes not_applicable."""


@dataclass(frozen=True, kw_only=True)
class SeparableBatch:
    """Inputs that separate the classes, with labels; ``distinct`` is False where the inputs are all alike."""

    inputs: Any
    labels: Tensor
    prototypes: int
    distinct: bool


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What one look at a copy tells, so that no copy is kept for it."""

    size: int
    dtype: torch.dtype
    convention: Convention
    special_tokens: frozenset[int]


class Subject:
    """One model under check. Nothing here is random but through the session's seed and the model's name."""

    def __init__(
        self, spec: ModelSpec, settings: Settings, *, build_generated: Callable[[int], nn.Module] | None = None
    ) -> None:
        """``build_generated`` makes a generated classifier's module with a head of so many outputs."""
        self.spec = spec
        self.build_generated = build_generated
        self.settings = settings
        self.name = spec.name
        self.num_classes = max(spec.num_classes, 2) if spec.task == "binary" else spec.num_classes
        self.passes = Passes()
        self._remembered: dict[str, Any] = {}
        self.tell: Callable[[str], None] = lambda what: None

    def seed(self, purpose: str) -> int:
        """The seed for one purpose."""
        return derive_seed(self.settings.seed, self.name, purpose)

    # Models

    def fresh(self) -> nn.Module:
        """A fresh copy with the same initial weights each time, in train mode.

        Raises:
            SubjectError: the factory returns no module.
        """
        model = self._make()
        if any(is_lazy(p) for p in model.parameters()):
            self.logits_of(model.train(), self.inputs(SCAN_ROWS, "materialise"))
        return model.train()

    def _make(self) -> nn.Module:
        """A copy where there is one shared object, so that the user's own is never touched; else a new one."""
        shared = self._shared
        made = self._call_factory() if shared is None else copy.deepcopy(shared)
        model = module_of(made)
        if not isinstance(model, nn.Module):
            raise SubjectError(
                f"the factory of {self.name!r} must return a torch.nn.Module; it returned {type(made).__name__}"
            )
        return model

    @cached_property
    def _shared(self) -> Any:
        """The module that was registered itself, or the object that the factory hands out each time it is called."""
        if isinstance(self.spec.factory, nn.Module):
            return self.spec.factory
        first, second = self._call_factory(), self._call_factory()
        return first if first is second else None

    def _call_factory(self) -> Any:
        seed_everything(self.seed("weights"))
        return self.spec.factory()

    @property
    def convention(self) -> Convention:
        """What a library's conventions say where the registration says nothing."""
        return self._facts.convention

    @property
    def optimizer_factory(self) -> Callable[[nn.Module], Any] | None:
        """``optimizer=``, or what the model's library uses."""
        return self.spec.optimizer or self.convention.optimizer

    @property
    def train_step(self) -> Callable[..., Any] | None:
        """``train_step=``, or what the model's library does in a step."""
        return self.spec.train_step or self.convention.train_step

    def scattered(self, amount: float, variant: int = 0) -> nn.Module:
        """A fresh copy with noise of ``amount`` times each parameter's size added to it; another one per ``variant``.

        A matrix that is all zeros takes the usual initial size, one over the square root of its fan-in. A bias or a
        gain takes at least 1: noise of a lone number's own size would seldom change its sign.
        """
        model = self.fresh()
        rng = data.generator(self.seed(f"scatter {amount} {variant}"))
        with torch.no_grad():
            for p in model.parameters():
                if amount and p.is_floating_point():
                    size = float(p.detach().float().square().mean().sqrt())
                    size = max(size, 1.0) if p.ndim < 2 else size or p[0].numel() ** -0.5
                    noise = torch.randn(p.shape, generator=rng) * size * amount
                    p.add_(noise.to(p.dtype))
        return model

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """The parameters that require a gradient and are not declared frozen, by name."""
        return {name: p for name, p in model.named_parameters() if p.requires_grad and not self.is_frozen(name)}

    def is_frozen(self, name: str) -> bool:
        """Whether ``frozen=`` says that this parameter is meant not to train."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.spec.frozen)

    def require_frozen_names(self, names: Iterable[str]) -> None:
        """Say so where a pattern of ``frozen=`` matches no parameter.

        Raises:
            SubjectError: names the pattern and the nearest parameter.
        """
        known = list(names)
        for pattern in self.spec.frozen:
            if not fnmatch.filter(known, pattern):
                raise SubjectError(
                    f"frozen= of {self.name!r}: {pattern!r} matches no parameter; {nearest(pattern, known)}"
                )

    # Inputs

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the model's first floating-point parameter, else the default."""
        return self._facts.dtype

    @property
    def threads(self) -> int:
        """One for a small model, whose operations are too short to share; else the worker's part of torch's threads."""
        small = self._facts.size < SMALL_MODEL
        return 1 if small else max(1, torch.get_num_threads() // self.settings.workers)

    @cached_property
    def _facts(self) -> _Facts:
        model = self._make()
        parameters = list(model.parameters())
        dtypes = (p.dtype for p in parameters if p.is_floating_point())
        return _Facts(
            size=sum(p.numel() for p in parameters if not is_lazy(p)),
            dtype=next(dtypes, torch.get_default_dtype()),
            convention=convention_of(model),
            special_tokens=frozenset(special_tokens(model)),
        )

    @cached_property
    def tokens(self) -> Tensor:
        """The token ids that inputs are made of: those without a meaning of their own, where enough are left."""
        assert self.spec.vocab_size is not None
        plain = data.plain_tokens(self.spec.vocab_size, self._facts.special_tokens)
        return plain if len(plain) > 2 * data.MOST_PROTOTYPES else data.plain_tokens(self.spec.vocab_size, ())

    @property
    def multilabel(self) -> bool:
        """Whether labels are multi-hot."""
        return self.spec.task == "multilabel"

    def inputs(self, count: int, purpose: str) -> Any:
        """A batch of random inputs as the model takes it: a tensor, a tuple (positional) or a dict (keywords)."""
        rng = data.generator(self.seed(f"inputs {purpose}"))
        if self.spec.inputs is not None:
            return self._users_inputs(count, rng)
        if self.spec.vocab_size is not None:
            tokens = data.random_tokens(count, self.spec.input_shape or DEFAULT_SEQUENCE, len(self.tokens), rng)
            return self.tokens[tokens]
        assert self.spec.input_shape is not None
        return data.random_floats(count, self.spec.input_shape, rng, dtype=self.dtype)

    def _users_inputs(self, count: int, rng: torch.Generator) -> Any:
        assert self.spec.inputs is not None
        seed_everything(self.seed("inputs"))
        made = self.spec.inputs(count, rng)
        sizes = {len(t) for t in tensors_in(made) if t.ndim}
        if count not in sizes:
            raise SubjectError(
                f"inputs= of {self.name!r} must return a tensor, tuple or dict whose tensors have {count} rows when "
                f"asked for a batch of {count}; it returned {type(made).__name__} with sizes {sorted(sizes)}"
            )
        return made

    def separable_batch(self) -> SeparableBatch:
        """A batch that a working classifier can learn by heart: each class in use has its own input pattern."""
        spec = self.spec
        rng = data.generator(self.seed("separable batch"))
        features = None
        if spec.vocab_size is not None:
            features = len(self.tokens) - 1
        elif spec.input_shape is not None:
            features = math.prod(spec.input_shape)
        prototypes = data.prototype_count(2**self.num_classes if self.multilabel else self.num_classes, features)
        count = max(SCAN_ROWS, 2 * prototypes)
        assignment = data.balanced_assignment(count, prototypes, rng)
        table = data.prototype_labels(prototypes, self.num_classes, rng, multilabel=self.multilabel)
        if spec.inputs is not None:
            inputs = index_rows(self._users_inputs(prototypes, rng), assignment, prototypes)
        elif spec.vocab_size is not None:
            tokens = data.separable_tokens(assignment, spec.input_shape or DEFAULT_SEQUENCE, len(self.tokens), rng)
            inputs = self.tokens[tokens]
        else:
            patterns = data.float_prototypes(prototypes, spec.input_shape or (), rng)
            inputs = data.separable_floats(assignment, patterns, rng, dtype=self.dtype)
        first = [int((assignment == c).nonzero()[0]) for c in range(prototypes)]
        distinct = any(
            len({repr(row.tolist()) for row in t[first]}) == prototypes for t in tensors_in(inputs) if len(t) == count
        )
        return SeparableBatch(inputs=inputs, labels=table[assignment], prototypes=prototypes, distinct=distinct)

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

    def predict(self, model: nn.Module, inputs: Any) -> Any:
        """What the registered ``predict=`` gives, without a graph; counted as one forward pass."""
        assert self.spec.predict is not None
        self.count(forward=1)
        with torch.no_grad():
            return self.spec.predict(model, inputs)

    def forward(self, model: nn.Module, inputs: Any) -> Any:
        """One counted forward pass: the model's output as it is."""
        self.count(forward=1)
        return self.call(model, inputs)

    def call(self, model: nn.Module, inputs: Any) -> Any:
        """The model's output, not counted: for who counts through a hook."""
        if isinstance(inputs, Mapping):
            return model(**inputs)
        if isinstance(inputs, tuple):
            return model(*inputs)
        return model(inputs)

    def extract(self, output: Any) -> Tensor:
        """The scores in a model's output: by ``logits=``, else a tensor, ``.logits``, ``["logits"]``, first of a tuple.

        Raises:
            SubjectError: no tensor of floats is found there.
        """
        found = self.spec.logits(output) if self.spec.logits is not None else find_logits(output)
        if not isinstance(found, Tensor) or not found.is_floating_point():
            own = self.spec.logits is not None
            what, hint = ("logits=", "") if own else ("the model", "; pass logits= to say where the scores are")
            kind = f"a {found.dtype} tensor" if isinstance(found, Tensor) else type(found if own else output).__name__
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
        seed_everything(self.seed("sample"))
        with torch.no_grad():
            return self.forward(self.fresh(), self.inputs(SCAN_ROWS, "scan"))

    @cached_property
    def sample_logits(self) -> Tensor:
        """Scores of a fresh copy on random inputs, detached, (16, K, ...), (16, 1) or (16,)."""
        return self.extract(self.sample_output).detach()

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
        for compute in (lambda y: own(model, inputs, y), lambda y: self._loss_of_forward(model, inputs, y)):
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
        lightning = self.convention.name == "Lightning" and self.own_losses is not None
        return lightning and not self.computes_registered_loss

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
        whole = self.spec.loss_takes == "output"
        output = replaced(self.sample_output, self.sample_logits, logits) if whole else logits
        return self.loss_on_targets(output, logits, targets)

    def loss_of(self, output: Any, logits: Tensor, labels: Tensor) -> Tensor:
        """The user's loss of what the model returned, or of the scores in it, whichever it takes."""
        return self.loss_on_targets(output, logits, self.targets(labels, logits))

    def loss_on_targets(self, output: Any, logits: Tensor, targets: Any) -> Tensor:
        """The same with targets that are encoded already, as the user's own batches have them.

        Raises:
            SubjectError: the loss returns no scalar.
        """
        loss = self.loss_object
        given = output if self.spec.loss_takes == "output" else logits
        value = (NAMED[loss][0] if isinstance(loss, str) else loss)(given, targets)
        if not isinstance(value, Tensor) or value.numel() != 1:
            shape = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise SubjectError(
                f"loss= of {self.name!r} must return a scalar tensor (use reduction='mean'); it returned {shape}"
            )
        return value.reshape(())

    def targets(self, labels: Tensor, logits: Tensor) -> Tensor:
        """The labels as the loss is fed with them; a loss of the user's own by its task, before it is probed."""
        known = known_nature(self.loss_object)
        form: Form = known.form if known else "categorical" if self.spec.task == "multiclass" else "bernoulli"
        return encode_targets(labels, logits, encoding=self.spec.targets, form=form)

    @cached_property
    def has_single_column(self) -> bool:
        """Whether a loss over classes gets one score per example: softmax over one score is 1 whatever it says."""
        shape = self.sample_logits.shape
        return (
            self.nature.form == "categorical" and self.nature.takes != "unknown" and (len(shape) < 2 or shape[1] == 1)
        )

    @cached_property
    def refusal(self) -> Exception | None:
        """What the loss raises on scores of zero in the shape of the model's; None where it takes its targets."""
        try:
            self.loss(torch.zeros_like(self.sample_logits), self.sample_labels)
        except SubjectError:
            raise
        except Exception as error:
            # A loss may raise anything about its targets; targets_fit_loss reports it in torch's words.
            return error
        return None

    def require_targets(self) -> None:
        """Say that a check does not apply where the loss refuses its targets.

        Raises:
            DoesNotApply: it does.
        """
        if self.refusal is not None:
            said = str(self.refusal).splitlines()[0]
            raise DoesNotApply(f"{self.loss_name} refuses its targets, see targets_fit_loss: {said}")

    def decide(self, logits: Tensor) -> Tensor:
        """The decisions that the loss implies: class indices (N, ...), or multi-hot (N, K)."""
        if not self.multilabel and logits.ndim > 1 and logits.shape[1] > 1:
            return logits.argmax(dim=1)
        threshold = 0.5 if self.nature.takes == "probabilities" else 0.0
        decided = (logits > threshold).long()
        return decided if self.multilabel or decided.ndim < 2 else decided.squeeze(1)

    # Shared evidence

    @cached_property
    def scan(self) -> Extent:
        """Outputs in train mode, as the loss sees them, of copies with scattered parameters; the first as initialised.

        Where none of them is negative, or none beyond 1, more copies are looked at: a clipped range, and scores that
        cannot grow, show in many settings only.
        """
        extent = Extent()
        inputs = self.inputs(SCAN_ROWS, "scan")

        def look(amount: float, variant: int = 0) -> None:
            logits = self.scores(self.scattered(amount, variant), inputs, purpose="scan")
            extent.add(logits, keep=True, coarse=amount > 1)

        for amount in SCATTER:
            look(amount)
        if extent.low >= 0 and confirmed_region(extent) == "free":
            for variant in range(CLIPPED_SETTINGS):
                look(1.0, variant + 1)
        elif extent.holds("symmetric") and confirmed_region(extent) == "free":
            for variant in range(CLIPPED_SETTINGS):
                look(SCATTER[-1], variant + 1)
        return extent

    @property
    def stays_small(self) -> bool:
        """Whether all scores lie in [-1, 1] in every setting of the scan and no activation accounts for it: cosines."""
        return self.region == "free" and self.scan.rows > 0 and self.scan.low < 0 and self.scan.holds("symmetric")

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
