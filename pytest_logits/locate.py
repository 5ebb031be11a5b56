"""Inside evidence: which line of the user's code applied the operation that the outside evidence has found.

A ``TorchFunctionMode`` sees every torch function that a forward pass calls, as a module, a function or a method, with
the Python stack that called it. It names places; it never decides a verdict.
"""

from __future__ import annotations

import contextlib
import inspect
import linecache
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pytest_logits.copies import evaluating
from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.finding import Location
from pytest_logits.guard import seed_everything
from pytest_logits.loss_subject import LossSubject
from pytest_logits.placing import CPU
from pytest_logits.structures import handed, tensors_in
from pytest_logits.subject import Subject

OURS = str(Path(__file__).parent)
TORCH = str(Path(torch.__file__).parent)
LIBRARIES = tuple({sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")})


@dataclass(frozen=True)
class Operation:
    """One torch call: what went in, what came out (a copy, as later calls may write into it), and from where."""

    name: str
    source: Tensor | None
    source_shape: tuple[int, ...]
    result: Tensor
    values: Tensor | None
    place: tuple[str, int] | None
    module: nn.Module | None
    cuts: bool = False


class _Recorder(TorchFunctionMode):
    def __init__(self, size: int | None, *, copies: bool = False) -> None:
        super().__init__()
        self._copies = copies
        self.operations: list[Operation] = []
        self._size = size

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        source = next(iter(tensors_in(list(args))), None)
        shape = tuple(source.shape) if source is not None else ()
        if source is not None and source.numel() == self._size:
            # An operation in place writes over what it is given.
            source = source.clone()
        result = func(*args, **(kwargs or {}))
        frame = sys._getframe(1)
        made = tensors_in(result)
        place, module = (_calling_line(frame), _calling_module(frame)) if made else (None, None)
        for tensor in made:
            kept = tensor.detach().clone() if self._copies or tensor.numel() == self._size else None
            name = getattr(func, "__name__", str(func))
            given = any(t.requires_grad for t in tensors_in([*args, *(kwargs or {}).values()]))
            cuts = given and tensor.is_floating_point() and not tensor.requires_grad
            self.operations.append(Operation(name, source, shape, tensor, kept, place, module, cuts))
        return result


def _calling_line(frame: FrameType | None) -> tuple[str, int] | None:
    """The innermost line of the user's own code on the stack above our own, else of a library other than torch."""
    fallback: tuple[str, int] | None = None
    while frame is not None and not frame.f_code.co_filename.startswith(OURS):
        file = frame.f_code.co_filename
        if not file.startswith((TORCH, "<")):
            if not file.startswith(LIBRARIES):
                return file, frame.f_lineno
            fallback = fallback or (file, frame.f_lineno)
        frame = frame.f_back
    return fallback


def _calling_module(frame: FrameType | None) -> nn.Module | None:
    """The torch module whose forward made the call, where no other code stands between: nn.Softmax, nn.ReLU."""
    while frame is not None and frame.f_code.co_filename.startswith(TORCH):
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module):
            return None if list(owner.children()) else owner
        frame = frame.f_back
    return None


def record(call: Callable[[], Any], *, size: int | None = None, copies: bool = False) -> tuple[Any, list[Operation]]:
    """Run ``call`` and record its torch operations; values are kept of results with ``size`` elements, or of all."""
    with _Recorder(size, copies=copies) as recorder:
        result = call()
    return result, recorder.operations


def producer(operations: list[Operation], final: Tensor) -> Operation | None:
    """The first operation whose result already has the final values, in any order: what follows only moves them."""
    wanted = _sorted(final.detach())
    for operation in operations:
        values = operation.values
        if values is not None and values.dtype == wanted.dtype and torch.equal(_sorted(values), wanted):
            return operation
    return None


def _sorted(values: Tensor) -> Tensor:
    # NaN equals nothing, itself included; what scattered parameters overflow to is the same NaN all the way.
    flat = values.flatten().to(CPU)
    return (flat.nan_to_num(nan=0.5) if flat.is_floating_point() else flat).sort().values


def activation_place(subject: Subject, *, amount: float) -> Location | None:
    """Where the operation that gives the outputs their final values is applied, in a copy scattered by ``amount``."""
    with _births() as births:
        model = subject.scattered(amount)
    seed_everything(subject.seed("locate"))
    inputs = subject.inputs(SCAN_ROWS, "scan")
    with torch.no_grad():
        final, operations = record(lambda: subject.logits_of(model, inputs), size=subject.sample_logits.numel())
    operation = producer(operations, final)
    if operation is None:
        return None
    born = births.get(id(operation.module))
    note = f"{operation.name}()"
    if operation.module is not None:
        name = next((n for n, m in model.named_modules() if m is operation.module), "")
        note = f"{operation.module}" + (f", module {name!r}" if name else "")
        if born is not None and operation.place is not None:
            note += f", made at {Path(born[0]).name}:{born[1]}"
    place = operation.place or born
    return None if place is None else at(*place, note=note)


def reshape_place(subject: Subject, count: int) -> Location | None:
    """Where the batch axis is lost: the last call that is given ``count`` rows and returns another number."""
    model = evaluating(subject.fresh())
    seed_everything(subject.seed("locate"))
    inputs = subject.inputs(count, "shape")
    operations: list[Operation] = []
    with torch.no_grad(), _Recorder(None) as recorder:
        try:
            subject.logits_of(model, inputs)
        except Exception:
            # The finding already has the model's exception; what ran before it names the place.
            operations = recorder.operations
        operations = recorder.operations
    lost = [o for o in operations if o.source_shape[:1] == (count,) and tuple(o.result.shape[:1]) != (count,)]
    place = lost[-1].place if lost else None
    return (
        None
        if place is None
        else at(*place, note=f"{lost[-1].name}(): {lost[-1].source_shape} to {tuple(lost[-1].result.shape)}")
    )


def first_place(
    subject: Subject, model: nn.Module, wanted: Callable[[Operation], bool], *, count: int
) -> Location | None:
    """The line of the first torch call of a forward pass that ``wanted`` picks out."""
    seed_everything(subject.seed("locate"))
    inputs = subject.inputs(count, "scan")
    with torch.no_grad():
        _, operations = record(lambda: subject.logits_of(model, inputs))
    found = next((o for o in operations if o.place is not None and wanted(o)), None)
    return None if found is None or found.place is None else at(*found.place, note=f"{found.name}()")


def leak_place(
    subject: Subject, model: nn.Module, inputs: Any, mixed: Any, *, kept: int, count: int
) -> Location | None:
    """The line where the example ``kept`` first differs between two batches that have only this example in common.

    A result belongs to the example along any axis of the batch's size; a result with no such axis mixes examples.
    """
    traces = []
    for batch in (inputs, mixed):
        seed_everything(subject.seed("locate"))
        with torch.no_grad():
            traces.append(record(partial(subject.logits_of, model, batch), copies=True)[1])
    for one, other in zip(*traces, strict=False):
        if one.values is None or other.values is None or one.place is None or one.result.shape != other.result.shape:
            continue
        axes = [axis for axis, size in enumerate(one.values.shape) if size == count]
        pairs = [(one.values.select(a, kept), other.values.select(a, kept)) for a in axes] or [
            (one.values, other.values)
        ]
        if all(bool((a != b).any()) for a, b in pairs):
            return at(*one.place, note=f"{one.name}()")
    return None


# They read a shape, not values.
_SHAPED_LIKE = ("_like", "new_")


def cut_place(subject: Subject) -> Location | None:
    """Where the graph is cut: the first call that is given what requires a gradient and returns what does not."""
    model = subject.fresh()
    seed_everything(subject.seed("locate"))
    inputs = subject.inputs(SCAN_ROWS, "scan")
    _, operations = record(lambda: subject.logits_of(model, inputs))
    cutting = (o for o in operations if o.cuts and o.place is not None and not any(w in o.name for w in _SHAPED_LIKE))
    found = next(cutting, None)
    if found is None or found.place is None:
        return None
    note = "tensor.data" if found.name == "__get__" else f"{found.name}()"
    return at(*found.place, note=f"{note} returns a tensor without a graph")


def seeding_place(subject: Subject, model: nn.Module) -> Location | None:
    """Where a forward pass sets a global random state: the line that calls torch.manual_seed or one of its kin."""
    places: list[tuple[str, tuple[str, int]]] = []
    with contextlib.ExitStack() as patches:
        for owner, name in _SEEDING:
            module = sys.modules.get(owner)
            if module is not None:
                patches.enter_context(patch.object(module, name, _noting(getattr(module, name), name, places)))
        subject.scores(model, subject.inputs(SCAN_ROWS, "scan"), purpose="locate")
    return at(*places[0][1], note=f"{places[0][0]}()") if places else None


class _Writes(TorchFunctionMode):
    """Notes the first call after which one of the tensors is of another version: what counts writes into it."""

    def __init__(self, watched: list[Tensor]) -> None:
        super().__init__()
        self._watched = watched
        self._before = self._versions()
        self.first: Location | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self._before and self._versions() != self._before:
            self._before = []
            place = _calling_line(sys._getframe(1))
            name = getattr(func, "__name__", str(func))
            self.first = None if place is None else at(*place, note=f"{name}() writes into the input")
        return result

    def _versions(self) -> list[int]:
        return [tensor._version for tensor in self._watched if not tensor.is_inference()]


def writing_place(subject: Subject, model: nn.Module, inputs: Any) -> Location | None:
    """Where a forward pass first writes into the batch that it is given, which is written into."""
    seed_everything(subject.seed("locate"))
    subject.count(forward=1)
    writes = _Writes(tensors_in(inputs))
    with torch.no_grad(), writes:
        handed(model, inputs)
    return writes.first


_SEEDING = (
    ("torch", "manual_seed"),
    ("torch", "set_rng_state"),
    ("torch.random", "manual_seed"),
    ("torch.random", "set_rng_state"),
    ("random", "seed"),
    ("random", "setstate"),
    ("numpy.random", "seed"),
    ("numpy.random", "set_state"),
)


def _noting(function: Any, name: str, places: list[tuple[str, tuple[str, int]]]) -> Any:
    def noted(*args: Any, **kwargs: Any) -> Any:
        place = _calling_line(sys._getframe(1))
        if place is not None:
            places.append((name, place))
        return function(*args, **kwargs)

    return noted


def loss_place(subject: Subject | LossSubject) -> Location | None:
    """Where a loss of the user's own is defined."""
    loss = subject.loss_object
    return definition(type(loss).forward if isinstance(loss, nn.Module) else loss, "defined here")


def definition(function: Any, note: str) -> Location | None:
    """Where a function of the user's is defined; None for what has no code of its own, and for torch's."""
    while isinstance(function, partial):
        function = function.func
    code = getattr(inspect.unwrap(function), "__code__", None) or getattr(type(function).__call__, "__code__", None)
    if code is None or code.co_filename.startswith(TORCH):
        return None
    return at(code.co_filename, code.co_firstlineno, note=note)


def at(file: str, line: int, *, note: str = "") -> Location:
    """A location with its line of code."""
    return Location(file=file, line=line, code=linecache.getline(file, line).strip(), note=note)


@contextmanager
def _births() -> Iterator[dict[int, tuple[str, int]]]:
    """Record where in the user's code each module is made, for models that have no forward of the user's own."""
    births: dict[int, tuple[str, int]] = {}
    original = nn.Module.__init__

    def recording(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        place = _calling_line(sys._getframe(1))
        if place is not None:
            births[id(self)] = place
        original(self, *args, **kwargs)

    nn.Module.__init__ = recording  # type: ignore[method-assign]
    try:
        yield births
    finally:
        nn.Module.__init__ = original  # type: ignore[method-assign]
