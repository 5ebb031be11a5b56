"""The models and losses that this process has been told of, in the order it was told. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, overload

from pytest_logits.model import (
    ARGUMENTS,
    LOSS_ARGUMENTS,
    LossSpec,
    ModelSpec,
    RegistrationError,
    Spec,
    caller,
    make_loss_spec,
    make_spec,
)
from pytest_logits.told import nearest

# pytest leaves the frames of this module out: a mistake is told at the user's own line.
__tracebackhide__ = True

_registered: dict[tuple[Path, str], Spec] = {}

# What stands for no argument: None is what a factory that was called by mistake may have returned.
_MISSING: Any = object()

F = TypeVar("F", bound=Callable[..., Any])


def registered_models() -> tuple[ModelSpec, ...]:
    """Every registered model, in order of registration."""
    return tuple(spec for spec in _registered.values() if isinstance(spec, ModelSpec))


def registered_losses() -> tuple[LossSpec, ...]:
    """Every loss that is registered by itself, in order of registration."""
    return tuple(spec for spec in _registered.values() if isinstance(spec, LossSpec))


def registered() -> tuple[Spec, ...]:
    """Models and losses, in order of registration."""
    return tuple(_registered.values())


def add(spec: Spec) -> None:
    """Add one model or loss. The same line run again (a module imported twice) replaces; another line is an error."""
    key = (spec.file, spec.name)
    known = _registered.get(key)
    if known is not None and known.line != spec.line:
        raise RegistrationError(
            f"cannot register {spec.name!r} ({spec.file}:{spec.line}): "
            f"the name is taken by line {known.line} of the same file; pass another name="
        )
    _registered[key] = spec


def equivalent_of(spec: ModelSpec) -> ModelSpec:
    """The model that ``equivalent_to=`` of ``spec`` names: the one of the same file, else the only one of that name.

    Raises:
        RegistrationError: there is none, there are several in other files, or the two cannot be compared.
    """
    wanted, said = spec.equivalent_to, f"cannot pair {spec.name!r} ({spec.file}:{spec.line}): "
    others = [other for other in registered_models() if (other.file, other.name) != (spec.file, spec.name)]
    named = [other for other in others if other.name == wanted]
    found = [other for other in named if other.file == spec.file] or named
    if not found:
        names = [other.name for other in others]
        hint = nearest(str(wanted), names) if names else "no other model is registered"
        raise RegistrationError(f"{said}equivalent_to={wanted!r} is no registered model; {hint}")
    if len(found) > 1:
        files = ", ".join(str(other.file) for other in found)
        raise RegistrationError(f"{said}equivalent_to={wanted!r} is registered in several files: {files}")
    other = found[0]
    for argument in ("input_shape", "vocab_size"):
        ours, theirs = getattr(spec, argument), getattr(other, argument)
        if spec.inputs is None and other.inputs is None and ours != theirs:
            raise RegistrationError(f"{said}{argument}={ours!r}, and {theirs!r} in equivalent_to={wanted!r}")
    ours, theirs = _kind_of_labels(spec), _kind_of_labels(other)
    if ours != theirs:
        raise RegistrationError(f"{said}it classifies into {ours}, and equivalent_to={wanted!r} into {theirs}")
    return other


def require_pairs() -> None:
    """Every ``equivalent_to=`` names a model that can be compared.

    Raises:
        RegistrationError: of the first that does not.
    """
    for spec in registered_models():
        if spec.equivalent_to is not None:
            equivalent_of(spec)


def _kind_of_labels(spec: ModelSpec) -> str:
    """One logit and two logits are two classes."""
    if spec.task == "multilabel":
        return f"{spec.num_classes} independent labels"
    return f"{2 if spec.task == 'binary' else spec.num_classes} classes"


@contextmanager
def isolated() -> Iterator[None]:
    """Start with no models and put the present ones back at the end. For tests, and for sessions inside a session."""
    before = dict(_registered)
    _registered.clear()
    try:
        yield
    finally:
        _registered.clear()
        _registered.update(before)


@overload
def register(factory: F, /, **arguments: Any) -> F: ...
@overload
def register(
    *,
    num_classes: int,
    name: str | None = ...,
    task: str | None = ...,
    input_shape: tuple[int, ...] | None = ...,
    vocab_size: int | None = ...,
    inputs: Callable[..., Any] | None = ...,
    loss: Any = ...,
    targets: str | Callable[..., Any] | None = ...,
    logits: Callable[..., Any] | None = ...,
    loss_takes: str | None = ...,
    predict: Callable[..., Any] | None = ...,
    batches: Callable[..., Any] | None = ...,
    optimizer: Callable[..., Any] | None = ...,
    train_step: Callable[..., Any] | None = ...,
    frozen: str | tuple[str, ...] | list[str] | None = ...,
    equivalent_to: str | None = ...,
    expected_failures: Mapping[str, str] | None = ...,
) -> Callable[[F], F]: ...
def register(factory: Any = _MISSING, /, **arguments: Any) -> Any:
    """Register a model factory with the checks. A decorator, or a plain call with the factory first.

    Args:
        factory: called with no arguments for every fresh copy the checks need; or an ``nn.Module``, which is copied.
        name: the item's name; by default the factory's ``__name__``.
        num_classes: the number of classes K. Required.
        task: ``"multiclass"`` (one of K classes), ``"binary"`` (one logit) or ``"multilabel"`` (K independent labels).
        input_shape: shape of one example, without the batch axis. Required unless ``inputs`` or ``vocab_size`` is
            given.
        vocab_size: inputs are int64 tokens in ``[0, vocab_size)``, (N, *input_shape), by default sequences of 16.
        inputs: ``(batch_size, generator) -> tensor``, tuple (positional) or dict (keywords), made with the given
            ``torch.Generator``.
        loss: ``"cross_entropy"``, ``"bce_with_logits"``, ``"nll_loss"``, ``"bce"``, an ``nn.Module``, or
            ``(logits, targets) -> scalar``. By default cross entropy for multiclass, BCE with logits otherwise.
        targets: how labels are encoded for the loss: ``"index"`` int64 (N,), ``"float_index"`` float (N,), ``"column"``
            float (N, 1), ``"onehot"`` float (N, K), ``"multihot"`` float (N, K), ``"signed"`` float -1/1, or
            ``(labels) -> tensor``. By default what the loss expects.
        logits: ``(model output) -> tensor of scores``, (N, K, ...), (N, 1) or (N,). By default the output itself, its
            ``.logits``, ``["logits"]`` or first element.
        loss_takes: ``"logits"`` or ``"output"``: what the loss is called with, beside the targets.
        predict: ``(model, x) -> class indices (N,)``, or multi-hot (N, K).
        batches: ``() -> iterable of (x, y)``: real data, y as the loss gets it. The checks of the data and of the
            training step look at its first batches.
        optimizer: ``(model) -> torch.optim.Optimizer``.
        train_step: ``(model, optimizer, x, y) -> loss``: one step of training as you write it, y as the loss gets it.
        frozen: names of parameters, or patterns such as ``"backbone.*"``, that are meant not to train.
        equivalent_to: the name of another registered model that is the same function of its parameters: a refactored
            copy, or a model of two logits where this one has a single one, and the other way round.
        expected_failures: ``{check: reason}``: these checks may fail, for the reason given, and must not pass.

    Raises:
        RegistrationError: names the argument, the nearest valid one, and the caller's file and line.
    """
    file, line = caller(1)
    if factory is not _MISSING:
        add(make_spec(factory, file=file, line=line, arguments=arguments))
        return factory

    def decorate(function: Any) -> Any:
        add(make_spec(function, file=file, line=line, arguments=arguments))
        return function

    if "num_classes" not in arguments or any(name not in ARGUMENTS for name in arguments):
        # Before the decorator is applied: the mistake is in this call, so this call is where it is reported.
        make_spec(decorate, file=file, line=line, arguments={"name": "the model", **arguments})
    return decorate


@overload
def register_loss(loss: F, /, **arguments: Any) -> F: ...
@overload
def register_loss(
    *,
    name: str | None = ...,
    task: str | None = ...,
    num_classes: int | None = ...,
    targets: str | Callable[..., Any] | None = ...,
    reduction: str | None = ...,
    expected_failures: Mapping[str, str] | None = ...,
) -> Callable[[F], F]: ...
def register_loss(loss: Any = _MISSING, /, **arguments: Any) -> Any:
    """Register a loss by itself with the checks. A decorator, or a plain call with the loss first.

    Args:
        loss: ``(logits, targets) -> scalar`` or rows; an ``nn.Module``, which is copied; or a class of modules
            that is made without arguments. Logits are float32 (N, K), or (N,) for a binary task.
        name: the item's name; by default the function's or class's ``__name__``.
        task: ``"multiclass"``, ``"binary"`` (one logit) or ``"multilabel"``, as for ``register``.
        num_classes: the number of classes K that the loss is made for; by default any, or what it turns out to take.
        targets: how labels are encoded for the loss, as for ``register``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` (one value per row); by default found by probing.
        expected_failures: ``{check: reason}``, as for ``register``.

    Raises:
        RegistrationError: names the argument, the nearest valid one, and the caller's file and line.
    """
    file, line = caller(1)
    if loss is not _MISSING:
        add(make_loss_spec(loss, file=file, line=line, arguments=arguments))
        return loss

    def decorate(function: Any) -> Any:
        add(make_loss_spec(function, file=file, line=line, arguments=arguments))
        return function

    if any(name not in LOSS_ARGUMENTS for name in arguments):
        # Before the decorator is applied: the mistake is in this call, so this call is where it is reported.
        make_loss_spec(decorate, file=file, line=line, arguments={"name": "the loss", **arguments})
    return decorate
