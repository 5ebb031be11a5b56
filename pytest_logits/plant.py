"""What a planted fault is made of: a registered model, its loss as far as it is known, and a change to either."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pytest_logits.conventions import module_of
from pytest_logits.guard import preserved_state
from pytest_logits.losses import NAMED, Nature, encode_targets, infer_nature, known_nature
from pytest_logits.structures import find_logits, replaced

Factory = Callable[[], Any]
Change = Callable[[Tensor], Tensor]


class Planted(NamedTuple):
    """A factory and the arguments of ``register``, one of them with a fault in it."""

    factory: Factory
    arguments: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plant:
    """A way to plant one cause.

    Called with a factory, or a module, and the arguments of ``register`` it returns the two with the fault in them;
    None where the fault cannot be had: a softmax of one column, a signed target for a loss over classes.

    ``checks`` are those that find it. ``advice`` says that it is harmless as such, and found as advice.
    """

    cause: str
    words: str
    make: Callable[[Case], Planted | None]
    checks: tuple[str, ...]
    advice: bool = False

    def __call__(self, factory: Any, arguments: Mapping[str, Any]) -> Planted | None:
        """The same model with the fault, or None. Neither the factory nor a module of the user's is changed."""
        return self.make(Case(factory, {name: value for name, value in arguments.items() if value is not None}))


class Case:
    """A registration to plant a fault in."""

    def __init__(self, factory: Any, arguments: dict[str, Any]) -> None:
        self.factory = factory
        self.arguments = arguments
        self.task: str = arguments.get("task", "multiclass")
        self.num_classes: int = arguments["num_classes"]
        default = "cross_entropy" if self.task == "multiclass" else "bce_with_logits"
        self.loss: Any = arguments.get("loss", default)

    @cached_property
    def nature(self) -> Nature:
        """What the loss takes: known by its name or found out by probing it. Unknown for one that takes an output."""
        unknown = Nature(takes="unknown", form="categorical" if self.task == "multiclass" else "bernoulli")
        if self.arguments.get("loss_takes") == "output" or self.is_skorch:
            return unknown
        known = known_nature(self.loss)
        if known is not None:
            return known
        loss, encoding = self.loss, self.arguments.get("targets")
        return infer_nature(
            lambda z, y: loss(z, encode_targets(y, z, encoding=encoding, form=unknown.form)),
            classes=None if self.task == "binary" else self.num_classes,
            multilabel=self.task == "multilabel",
            dtype=torch.float32,
        )

    def takes_logits(self, form: str) -> bool:
        """Whether the loss takes logits, of this form."""
        return self.nature == Nature(takes="logits", form=form)  # type: ignore[arg-type]

    def has_plain_loss(self, form: str) -> bool:
        """Whether the loss is torch's own on logits of this form with nothing set, on targets in its own encoding."""
        plain = (nn.CrossEntropyLoss, nn.BCEWithLogitsLoss)
        bare = type(self.loss) in plain and repr(vars(self.loss)) == repr(vars(type(self.loss)()))
        usual = (None, "index") if form == "categorical" else (None, "float_index", "column", "multihot")
        named = isinstance(self.loss, str) or bare
        return named and self.arguments.get("targets") in usual and self.takes_logits(form)

    @cached_property
    def is_skorch(self) -> bool:
        """Whether the factory returns a net that brings its own loss."""
        if isinstance(self.factory, nn.Module | type):
            return False
        looked = _makes_module if isinstance(self.factory, Hashable) else _makes_module.__wrapped__
        return not looked(self.factory)

    @cached_property
    def minds_its_mode(self) -> bool:
        """Whether the model has dropout or batch statistics, which train and eval mode change."""
        kinds = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)
        with preserved_state():
            made = self.factory if isinstance(self.factory, nn.Module) else module_of(self.factory())
        return any(isinstance(module, kinds) for module in made.modules())

    def loss_of(self, output: Any, targets: Any) -> Tensor:
        """The registered loss of a model's output and of targets as the loss gets them."""
        given = output if self.arguments.get("loss_takes") == "output" else self.scores_of(output)
        loss = NAMED[self.loss][0] if isinstance(self.loss, str) else self.loss
        value: Tensor = loss(given, targets)
        return value

    def scores_of(self, output: Any) -> Tensor:
        """The scores in a model's output, as registered."""
        find = self.arguments.get("logits", find_logits)
        found: Tensor = find(output)
        return found

    def with_arguments(self, **changes: Any) -> Planted:
        """The same model, registered with these arguments."""
        return Planted(self.factory, {**self.arguments, **changes})

    def with_model(self, change: Callable[[nn.Module], None]) -> Planted:
        """The same registration of a model that ``change`` was done to."""
        fresh = _fresh_copies(self.factory)

        def planted() -> Any:
            made = fresh()
            change(module_of(made))
            return made

        return Planted(planted, self.arguments)

    def with_outputs(self, change: Change, **changes: Any) -> Planted:
        """The same model with its scores put through a function.

        Where ``logits=`` reads the scores out of the output, the model returns the changed scores themselves.
        """
        arguments = {**self.arguments, **changes}
        reads = "logits" in arguments and arguments.get("loss_takes") != "output"
        if reads:
            # Whatever takes the output apart by itself would meet a tensor.
            arguments = {k: v for k, v in arguments.items() if k not in ("logits", "predict", "train_step")}

        def changed(output: Any) -> Any:
            scores = self.scores_of(output)
            return change(scores) if reads else replaced(output, scores, change(scores))

        planted = self.with_model(lambda model: through(model, changed))
        return Planted(planted.factory, arguments)


def through(model: nn.Module, change: Callable[[Any], Any]) -> None:
    """Put whatever the model returns through a function, for this object only; copies of it keep the change.

    The object gets a subclass of its class: its attributes, hooks and conventions stay as they are.
    """
    original: Any = type(model)

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return change(original.forward(self, *args, **kwargs))

    model.__class__ = type(original.__name__, (original,), {"forward": forward, "__module__": original.__module__})


@functools.lru_cache(maxsize=4)
def _makes_module(factory: Factory) -> bool:
    with preserved_state():
        return isinstance(factory(), nn.Module)


def _fresh_copies(factory: Any) -> Factory:
    """Makes a model of its own at each call, also where the factory is a module or hands out one object each time."""
    if isinstance(factory, nn.Module):
        return lambda: copy.deepcopy(factory)
    shared: list[bool] = []

    def fresh() -> Any:
        made = factory()
        if not shared:
            shared.append(factory() is made)
        return copy.deepcopy(made) if shared[0] else made

    return fresh
