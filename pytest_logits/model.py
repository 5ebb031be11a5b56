"""What a user says of a model, or of a loss by itself: the arguments, validated at once. Imports no torch."""

from __future__ import annotations

import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from pytest_logits.told import kind, nearest, nearest_integer, shown

# pytest leaves the frames of this module out: a mistake is told at the user's own line.
__tracebackhide__ = True

TASKS = ("multiclass", "binary", "multilabel")
LOSSES = ("cross_entropy", "bce_with_logits", "nll_loss", "bce")
TARGETS = ("index", "float_index", "column", "onehot", "multihot", "signed")
LOSS_TAKES = ("logits", "output")
REDUCTIONS = ("mean", "sum", "none")
REQUIRED = ("num_classes",)
# No axis of a tensor is longer: its sizes are int64.
LARGEST = 2**63 - 1

# What a user passes in is called with tensors and modules, which this module must not import.
Factory: TypeAlias = Callable[..., Any]


class RegistrationError(ValueError):
    """A model or check is declared with wrong arguments; says which, where, and the nearest valid one."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A registered model. The fields are the arguments of :func:`pytest_logits.register`, with where it was called."""

    factory: Factory
    name: str
    file: Path
    line: int
    num_classes: int
    task: str = "multiclass"
    input_shape: tuple[int, ...] | None = None
    vocab_size: int | None = None
    inputs: Callable[..., Any] | None = None
    loss: Any = None
    targets: str | Callable[..., Any] | None = None
    logits: Callable[..., Any] | None = None
    loss_takes: str = "logits"
    predict: Callable[..., Any] | None = None
    batches: Callable[..., Any] | None = None
    optimizer: Callable[..., Any] | None = None
    train_step: Callable[..., Any] | None = None
    frozen: tuple[str, ...] = ()
    equivalent_to: str | None = None
    expected_failures: Mapping[str, str] = field(default_factory=dict)


ARGUMENTS = tuple(name for name in ModelSpec.__dataclass_fields__ if name not in ("factory", "file", "line"))


@dataclass(frozen=True, kw_only=True)
class LossSpec:
    """A loss registered by itself. The fields are the arguments of :func:`pytest_logits.register_loss`, with its place.

    ``loss`` is ``(logits, targets) -> scalar or rows``, a module, or a class of modules that is made without arguments.
    """

    loss: Callable[..., Any]
    name: str
    file: Path
    line: int
    task: str = "multiclass"
    num_classes: int | None = None
    targets: str | Callable[..., Any] | None = None
    reduction: str | None = None
    expected_failures: Mapping[str, str] = field(default_factory=dict)


LOSS_ARGUMENTS = tuple(name for name in LossSpec.__dataclass_fields__ if name not in ("loss", "file", "line"))
Spec: TypeAlias = ModelSpec | LossSpec


@cache
def builtin_check_names() -> tuple[str, ...]:
    """The names of the checks that ship with the plugin, read from the folder: importing them would import torch."""
    folder = Path(__file__).parent / "checks"
    found = (module.name for module in pkgutil.iter_modules([str(folder)]))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def make_spec(factory: Any, *, file: Path, line: int, arguments: Mapping[str, Any]) -> ModelSpec:
    """Validate ``arguments`` and build the spec, or raise :class:`RegistrationError`."""
    given = {name: value for name, value in arguments.items() if value is not None}
    name = given.pop("name") if "name" in given else _default_name(factory)
    complain = _Complaint(name=name, file=file, line=line)

    for unknown in (name for name in given if name not in ARGUMENTS):
        complain(f"unknown argument {shown(unknown)}; {nearest(unknown, ARGUMENTS)}")
    for required in REQUIRED:
        if required not in given:
            complain(f"argument {required!r} is required")
    if not callable(factory) and not hasattr(factory, "initialize"):
        complain(f"the factory must be callable with no arguments, or a module; got {kind(factory)}")
    _check_name(complain, name)

    _check_integer(complain, "num_classes", given["num_classes"], minimum=1)
    _check_choice(complain, "task", given.get("task", "multiclass"), TASKS)
    if "vocab_size" in given:
        _check_integer(complain, "vocab_size", given["vocab_size"], minimum=2)
    if "input_shape" in given:
        given["input_shape"] = _shape(complain, given["input_shape"])
    elif "inputs" not in given and "vocab_size" not in given:
        complain(
            "argument 'input_shape' is required: the shape of one example, without the batch axis (or pass inputs=)"
        )
    if "inputs" in given and ("input_shape" in given or "vocab_size" in given):
        complain("'inputs' makes the whole batch itself: pass either inputs= or input_shape=/vocab_size=, not both")
    for argument in ("inputs", "logits", "predict", "batches", "optimizer", "train_step"):
        if argument in given and not callable(given[argument]):
            complain(f"{argument}= must be callable; got {kind(given[argument])}")
    _check_named_or_callable(complain, "loss", given.get("loss"), LOSSES)
    _check_targets(complain, given)
    if given.get("task") == "binary" and given["num_classes"] > 2:
        complain(f"task='binary' has two classes; got num_classes={shown(given['num_classes'])}")
    _check_choice(complain, "loss_takes", given.get("loss_takes", "logits"), LOSS_TAKES)
    if given.get("loss_takes") == "output" and not callable(given.get("loss")):
        complain("loss_takes='output' hands the loss what the model returns: it needs loss=(output, targets) -> scalar")
    if "frozen" in given:
        given["frozen"] = _patterns(complain, given["frozen"])
    _check_equivalent(complain, name, given.get("equivalent_to"))
    _check_expected_failures(complain, given.get("expected_failures", {}))
    return ModelSpec(factory=factory, name=name, file=file, line=line, **given)


def make_loss_spec(loss: Any, *, file: Path, line: int, arguments: Mapping[str, Any]) -> LossSpec:
    """Validate the arguments of ``register_loss`` and build the spec, or raise :class:`RegistrationError`."""
    given = {name: value for name, value in arguments.items() if value is not None}
    name = given.pop("name") if "name" in given else _default_name(getattr(loss, "func", loss))
    complain = _Complaint(name=name, file=file, line=line)
    for unknown in (name for name in given if name not in LOSS_ARGUMENTS):
        complain(f"unknown argument {shown(unknown)}; {nearest(unknown, LOSS_ARGUMENTS)}")
    if not callable(loss):
        complain(f"the loss must be a function (logits, targets) -> scalar, or a module; got {kind(loss)}")
    _check_name(complain, name)
    _check_choice(complain, "task", given.get("task", "multiclass"), TASKS)
    if "num_classes" in given:
        _check_integer(complain, "num_classes", given["num_classes"], minimum=1)
        if given.get("task") == "binary" and given["num_classes"] > 2:
            complain(f"task='binary' has two classes; got num_classes={shown(given['num_classes'])}")
    _check_targets(complain, given)
    if "reduction" in given:
        _check_choice(complain, "reduction", given["reduction"], REDUCTIONS)
    _check_expected_failures(complain, given.get("expected_failures", {}))
    return LossSpec(loss=loss, name=name, file=file, line=line, **given)


def require_known_checks(spec: Spec, names: Iterable[str]) -> None:
    """Hold ``expected_failures=`` against the names of all checks, once those of the user's own are declared.

    Raises:
        RegistrationError: one of them is no check.
    """
    known = list(names)
    complain = _Complaint(name=spec.name, file=spec.file, line=spec.line)
    for check in spec.expected_failures:
        if check not in known:
            complain(f"expected_failures names {shown(check)}, which is no check; {nearest(check, known)}")


@dataclass(frozen=True)
class _Complaint:
    name: Any
    file: Path
    line: int

    def __call__(self, message: str) -> None:
        raise RegistrationError(f"cannot register {shown(self.name)} ({self.file}:{self.line}): {message}")


def _default_name(factory: Any) -> Any:
    name = getattr(factory, "__name__", None)
    return name if name is not None else type(factory).__name__


def _check_integer(complain: _Complaint, argument: str, value: Any, *, minimum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        near = nearest_integer(value, minimum)
        complain(f"{argument}= must be an integer of at least {minimum}; got {kind(value)}{near}")
    if value > LARGEST:
        complain(f"{argument}= must be an integer of at most {LARGEST}, a tensor's longest axis; got {kind(value)}")


def _check_choice(complain: _Complaint, argument: str, value: Any, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        complain(f"{argument}={shown(value)} is not known; {nearest(value, choices)}")


def _check_name(complain: _Complaint, name: Any) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.\-]+", name):
        complain(f"name={shown(name)} must consist of letters, digits, '_', '-' and '.'; pass name='...'")


def _check_named_or_callable(complain: _Complaint, argument: str, value: Any, choices: tuple[str, ...]) -> None:
    if isinstance(value, str):
        _check_choice(complain, argument, value, choices)
    elif value is not None and not callable(value):
        complain(f"{argument}= must be one of {', '.join(choices)}, or callable; got {kind(value)}")


def _check_targets(complain: _Complaint, given: Mapping[str, Any]) -> None:
    _check_named_or_callable(complain, "targets", given.get("targets"), TARGETS)
    if given.get("targets") == "multihot" and given.get("task") != "multilabel":
        complain("targets='multihot' needs task='multilabel'; for one class per example it is targets='onehot'")


def _shape(complain: _Complaint, value: Any) -> tuple[int, ...]:
    sizes = (value,) if isinstance(value, int) else value
    if not isinstance(sizes, tuple | list) or any(
        isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= LARGEST for size in sizes
    ):
        complain(
            f"input_shape= must be positive integers, such as (3, 32, 32), without the batch axis; got {kind(value)}"
        )
    return tuple(sizes)


def _patterns(complain: _Complaint, value: Any) -> tuple[str, ...]:
    """Names of parameters, or patterns of them: one as a string, or several."""
    patterns = (value,) if isinstance(value, str) else value
    if not isinstance(patterns, tuple | list) or any(not isinstance(p, str) or not p for p in patterns):
        complain(f"frozen= must be patterns of parameter names, such as ('backbone.*',); got {kind(value)}")
    return tuple(patterns)


def _check_equivalent(complain: _Complaint, name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not value:
        complain(f"equivalent_to= must be the name of another registered model; got {kind(value)}")
    if value == name:
        complain(f"equivalent_to={shown(value)} is the model itself; it must name another one")


def _check_expected_failures(complain: _Complaint, value: Any) -> None:
    if not isinstance(value, Mapping):
        complain(f"expected_failures= maps a check's name to the reason; got {kind(value)}")
    for check, reason in value.items():
        if not isinstance(check, str):
            complain(f"expected_failures= maps a check's name to the reason; got {kind(check)} for a name")
        if not isinstance(reason, str) or not reason.strip():
            complain(f"expected_failures[{shown(check)}] needs a reason, in words; got {kind(reason)}")


def caller(depth: int) -> tuple[Path, int]:
    """File and line of the caller ``depth`` frames above the function that asks."""
    frame = sys._getframe(depth + 1)
    return Path(frame.f_code.co_filename).resolve(), frame.f_lineno
