"""The models and losses that this process has been told of, in the order it was told. Imports no torch."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
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
from pytest_logits.told import LONGEST, kind, nearest, one_paragraph, shown

# pytest leaves the frames of this module out: a mistake is told at the user's own line.
__tracebackhide__ = True

_registered: dict[tuple[Path, str], Spec] = {}

# The tables of pyproject.toml, and what a table in them is.
KINDS = {"models": "model", "losses": "loss"}
# What [tool.pytest-logits] may hold; expected.py reads the last.
TABLES = (*KINDS, "expected_failures")
TABLE = "pytest-logits"
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


def load_module(module: str, rootpath: Path, *, reference: str = "") -> Any:
    """Import ``module``, looking also in ``rootpath``, where the user's pyproject.toml lies.

    ``reference`` is what asked for it, for the error. The path stays, as pytest leaves the folder of a root
    conftest.py: a factory may import more when it is called.

    Raises:
        RegistrationError: the import raises anything; its words are kept.
    """
    if str(rootpath) not in sys.path:
        sys.path.insert(0, str(rootpath))
    try:
        return importlib.import_module(module)
    except RegistrationError:
        raise
    except (Exception, SystemExit) as error:
        prefix = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        wanted = f" for {shown(reference)}" if reference else ""
        raise RegistrationError(f"cannot import {shown(module)}{wanted}: {prefix}{one_paragraph(error)}") from error


def load_factory(reference: str, rootpath: Path) -> Any:
    """The object that ``"pkg.mod:name"`` names.

    Raises:
        RegistrationError: the reference has another form, the module cannot be imported, or lacks the name.
    """
    module, colon, attribute = reference.partition(":")
    if not colon or not module or not attribute:
        raise RegistrationError(f"{shown(reference)} is no factory: it must look like 'pkg.mod:factory'")
    found = load_module(module, rootpath, reference=reference)
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [name for name in getattr(found, "__dict__", ()) if not name.startswith("_")]
            hint = f"; {nearest(part, public)}" if public else ""
            raise RegistrationError(f"module {module!r} has no {shown(attribute)} (wanted by {shown(reference)}){hint}")
        found = getattr(found, part)
    return found


def ours_in(pyproject: Path) -> dict[str, Any]:
    """The table ``[tool.pytest-logits]``; empty where there is no such file or table.

    pytest itself requires tomli where Python has no tomllib, so this adds no dependency.

    Raises:
        RegistrationError: the file cannot be read, or the table has a key that is not known.
    """
    if not pyproject.is_file():
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return _table_of_ours(tomllib.loads(pyproject.read_text(encoding="utf-8")), pyproject)
    except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        raise RegistrationError(f"cannot read {pyproject}: {one_paragraph(error)}") from None


def add_from_pyproject(pyproject: Path) -> None:
    """Register what stands in ``[tool.pytest-logits.models.<name>]`` and ``[tool.pytest-logits.losses.<name>]``.

    A missing file or table registers nothing.
    """
    ours = ours_in(pyproject)
    if not ours:
        return
    text = pyproject.read_text(encoding="utf-8")
    for plural, make in (("models", make_spec), ("losses", make_loss_spec)):
        tables = ours.get(plural, {})
        if not isinstance(tables, dict):
            raise RegistrationError(
                f"[tool.{TABLE}.{plural}] in {pyproject} must be a table of tables, one per {KINDS[plural]}"
            )
        for name, table in tables.items():
            place = pyproject.resolve(), _header_line(text, plural, name)
            factory, arguments = _factory_of(name, table, *place)
            add(make(factory, file=place[0], line=place[1], arguments={"name": name, **arguments}))


def _table_of_ours(parsed: dict[str, Any], pyproject: Path) -> dict[str, Any]:
    """The table ``[tool.pytest-logits]``; a key in it, or a name of it, that is nearly right is told."""
    tools = parsed.get("tool", {})
    if not isinstance(tools, dict):
        return {}
    for name, table in tools.items():
        near = name != TABLE and difflib.get_close_matches(name[:LONGEST], [TABLE], cutoff=0.8)
        if near and isinstance(table, dict) and set(table) & set(TABLES):
            raise RegistrationError(f"[tool.{name}] in {pyproject} is not known; did you mean [tool.{TABLE}]?")
    ours = tools.get(TABLE, {})
    if not isinstance(ours, dict):
        raise RegistrationError(f"[tool.{TABLE}] in {pyproject} must be a table; got {kind(ours)}")
    for key in ours:
        if key not in TABLES:
            raise RegistrationError(f"[tool.{TABLE}] in {pyproject} knows no {shown(key)}; {nearest(key, TABLES)}")
    return ours


def _factory_of(name: str, table: Any, pyproject: Path, header: int) -> tuple[Any, dict[str, Any]]:
    """What a table's ``factory`` names, and the table's other keys."""
    where = f"cannot register {shown(name)} ({pyproject}:{header})"
    if not isinstance(table, dict):
        raise RegistrationError(f"{where}: it must be a table; got {kind(table)}")
    arguments = dict(table)
    reference = arguments.pop("factory", None)
    if not isinstance(reference, str):
        near = [key for key in arguments if difflib.get_close_matches(key[:LONGEST], ["factory"])]
        meant = f"; did you mean 'factory' by {shown(near[0])}?" if near else ""
        raise RegistrationError(f"{where}: factory = 'pkg.mod:name' is required{meant}")
    try:
        return load_factory(reference, pyproject.parent), arguments
    except RegistrationError as error:
        raise RegistrationError(f"{where}: {error}") from error


def _header_line(text: str, plural: str, name: str) -> int:
    """The line of ``[tool.pytest-logits.<plural>.<name>]``, 1 where the table is written in another form."""
    quoted = rf"(?:{re.escape(name)}|\"{re.escape(name)}\"|'{re.escape(name)}')"
    header = re.compile(rf"\s*\[\s*tool\s*\.\s*\"?pytest-logits\"?\s*\.\s*{plural}\s*\.\s*{quoted}\s*\]")
    return next((number for number, row in enumerate(text.splitlines(), 1) if header.match(row)), 1)
