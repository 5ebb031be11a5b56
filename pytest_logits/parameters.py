"""Which parameters make the logits, which are left out of ``parameters()``, and which the graph does not reach.

Read from the autograd graph of the logits. A parameter that a leaf of the graph is not registered as, or whose values
move the logits while no gradient comes back, shows from outside; how it came about is named from inside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.guard import seed_everything
from pytest_logits.subject import Subject

# How deep lists of lists are looked into for tensors.
DEEPEST = 4
# Each part of the model that is asked about costs two forward passes.
MOST_PARTS = 6


def leaves(tensor: Tensor, *, without: Any = None) -> dict[int, Tensor]:
    """The trainable leaves of a tensor's graph, by id; those that are reached only through ``without`` left out."""
    found: dict[int, Tensor] = {}
    todo, seen = [tensor.grad_fn], {without}
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found[id(leaf)] = leaf
        todo.extend(function for function, _ in node.next_functions)
    return found


def last_leaves(tensor: Tensor) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """The leaves that the last layer uses, and the matrices that reach the tensor (N, K, ...) or (N,) beside it.

    The last layer is the node nearest to the tensor that has a matrix. A leaf belongs to a node that it feeds directly
    or through operations of one argument, such as the transpose in a linear layer. A temperature or a prior on the
    logits is no layer; a low-rank update of a layer lies beside it.
    """
    width = tensor.shape[1] if tensor.ndim > 1 else 1
    todo, seen = deque([tensor.grad_fn]), set()
    while todo:
        node = todo.popleft()
        if node is None or node in seen:
            continue
        seen.add(node)
        found = {}
        if getattr(node, "variable", None) is None:
            for function, _ in node.next_functions:
                leaf = _leaf_behind(function)
                if leaf is not None:
                    found[id(leaf)] = leaf
        if any(_is_matrix(leaf, width) for leaf in found.values()):
            beside = leaves(tensor, without=node)
            return found, {key: leaf for key, leaf in beside.items() if _is_matrix(leaf, width)}
        todo.extend(function for function, _ in node.next_functions)
    return {}, {}


def _is_matrix(leaf: Tensor, width: int) -> bool:
    """Whether a leaf mixes features: not one number, nor one for each of ``width`` classes, in whatever shape."""
    return leaf.ndim > 1 and (leaf.shape[0] > 1 or leaf.numel() not in (1, width))


def _leaf_behind(node: Any) -> Tensor | None:
    while node is not None:
        leaf: Tensor | None = getattr(node, "variable", None)
        if leaf is not None:
            return leaf
        node = node.next_functions[0][0] if len(node.next_functions) == 1 else None
    return None


@dataclass(frozen=True, kw_only=True)
class Stray:
    """A trainable tensor that the logits use and ``parameters()`` does not list: where it hangs, and in what."""

    path: str
    holder: str
    tensor: Tensor


def strays(subject: Subject, model: nn.Module, logits: Tensor | None = None) -> list[Stray]:
    """The leaves of the graph of these logits, or of others of the model's, that are not among its parameters.

    A leaf that forward makes itself, as models do that set ``requires_grad`` on an activation, is another one each
    time, and no stray.
    """
    logits = _graphed(subject, model) if logits is None else logits
    known = {id(p) for p in model.parameters()}
    found = {key: leaf for key, leaf in leaves(logits).items() if key not in known}
    if not found:
        return []
    places: dict[int, tuple[str, str]] = {}
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute not in ("_parameters", "_modules", "_buffers"):
                path = f"{name}.{attribute}" if name else attribute
                for key, place in _tensors_below(value, path, path, "", DEEPEST):
                    if key in found:
                        places.setdefault(key, place)
    if len(places) < len(found):
        again = leaves(_graphed(subject, model))
        found = {key: leaf for key, leaf in found.items() if key in places or key in again}
    nowhere = ("a tensor outside the model", "")
    return [Stray(path=places.get(k, nowhere)[0], holder=places.get(k, nowhere)[1], tensor=found[k]) for k in found]


def _graphed(subject: Subject, model: nn.Module) -> Tensor:
    # A tensor of its own each time: forward may set requires_grad on its input.
    inputs = subject.inputs(SCAN_ROWS, "graph")
    seed_everything(subject.seed("graph"))
    return subject.logits_of(model, inputs)


def _tensors_below(value: Any, path: str, root: str, holder: str, depth: int) -> Iterator[tuple[int, tuple[str, str]]]:
    """Ids of the tensors in an attribute, with their path and what is unusual on the way to them."""
    if isinstance(value, Tensor):
        yield id(value), (path, holder or f"self.{root} is a tensor, not an nn.Parameter")
    elif isinstance(value, nn.Module):
        for name, parameter in value.named_parameters():
            yield id(parameter), (f"{path}.{name}", holder or f"self.{root} is hidden from the module")
    elif depth and isinstance(value, dict | list | tuple):
        holder = holder or f"self.{root} is a Python {type(value).__name__}"
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in pairs:
            yield from _tensors_below(part, f"{path}[{key!r}]", root, holder, depth - 1)


@dataclass(frozen=True)
class Parameters:
    """The parameters of a fresh copy, sorted by what becomes of them. Names only, but for the strays.

    ``head`` is what the last layer uses, the largest first, ``beside`` the matrices that reach the logits without it;
    ``off`` does not require a gradient and is not declared frozen; ``unused`` and ``cut`` require one and get none: the
    logits of training do depend on ``cut``, and on ``unused`` not, or only in a graph that reaches them, as an expert
    does that another batch chooses; ``still`` have one that is exactly zero at every step. None of the last three is
    declared frozen.
    """

    head: tuple[str, ...]
    beside: tuple[str, ...]
    all: tuple[str, ...]
    off: tuple[str, ...]
    unused: tuple[str, ...]
    cut: tuple[str, ...]
    still: tuple[str, ...]
    strays: tuple[Stray, ...]

    def loses_head(self, paths: Collection[str], *, moved: Collection[str]) -> bool:
        """Whether the last layer's matrix is among the paths, and no matrix that trains makes logits beside it."""
        return bool(self.head) and self.head[0] in paths and not set(self.beside) & set(moved)


def survey(subject: Subject, *, connected: set[str], moved: set[str]) -> Parameters:
    """Sort the parameters, given the names of those that had a gradient, and one that is not zero, in training.

    Raises:
        SubjectError: a pattern of ``frozen=`` matches no parameter.
    """
    model = subject.fresh()
    named = dict(model.named_parameters())
    subject.require_frozen_names(named)
    logits = _graphed(subject, model)
    found = strays(subject, model, logits)
    trainable = subject.trainable(model)
    severed = [name for name in trainable if name not in connected]
    off = tuple(
        n for n, p in named.items() if not p.requires_grad and p.is_floating_point() and not subject.is_frozen(n)
    )
    frozen = [p for p in named.values() if not p.requires_grad and p.is_floating_point()]
    if frozen:
        # What they are used by is to be seen too.
        for p in frozen:
            p.requires_grad_()
        logits = _graphed(subject, model)
    names = {id(p): name for name, p in named.items()} | {id(s.tensor): s.path for s in found}
    cut = _used(subject, _unreached(subject, severed))
    if cut:
        logits = _uncut(subject, model, otherwise=logits)
    head, beside = last_leaves(logits)
    return Parameters(
        head=tuple(names[key] for key in sorted(head, key=lambda k: -head[k].numel()) if key in names),
        beside=tuple(names[key] for key in beside if key in names and key not in head),
        all=tuple(named),
        off=off,
        unused=tuple(n for n in severed if n not in cut),
        cut=tuple(n for n in severed if n in cut),
        still=tuple(n for n in trainable if n in connected and n not in moved),
        strays=tuple(found),
    )


def _unreached(subject: Subject, names: list[str]) -> list[str]:
    """Those that the graph of these logits does not have; that of another batch may, as rows choose their experts."""
    if not names:
        return []
    model = subject.fresh()
    reached, named = leaves(_graphed(subject, model)), dict(model.named_parameters())
    return [name for name in names if id(named[name]) not in reached]


class _Uncut(TorchFunctionMode):
    """``detach`` and ``.data`` of a tensor give the tensor itself, with its graph."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.detach, torch.detach, Tensor.data.__get__):  # type: ignore[attr-defined]
            return args[0]
        return func(*args, **(kwargs or {}))


def _uncut(subject: Subject, model: nn.Module, *, otherwise: Tensor) -> Tensor:
    """The logits with the graph that they have where nothing is detached, to see which layer makes them."""
    try:
        with _Uncut():
            return _graphed(subject, model)
    except Exception:
        # What a model writes into a detached parameter it may not write into the parameter itself.
        return otherwise


def _used(subject: Subject, names: list[str]) -> set[str]:
    """Those that the logits depend on, asked of all at once and then of each top-level part of the model."""
    if not names or not _move_logits(subject, names):
        return set()
    parts: dict[str, list[str]] = {}
    for name in names:
        parts.setdefault(name.partition(".")[0], []).append(name)
    if len(parts) == 1 or len(parts) > MOST_PARTS:
        return set(names)
    return {name for part in parts.values() if _move_logits(subject, part) for name in part}


def _move_logits(subject: Subject, names: Iterable[str]) -> bool:
    """Whether other values of these parameters give other logits in train mode: what evaluation adds is not trained."""
    inputs = subject.inputs(SCAN_ROWS, "graph")
    before = subject.scores(subject.fresh(), inputs, purpose="graph")
    # A copy of its own: in train mode a forward pass may change buffers that the next one reads.
    model = subject.fresh()
    named = dict(model.named_parameters())
    with torch.no_grad():
        for name in names:
            named[name].add_(torch.linspace(0.5, 1.5, named[name].numel()).view_as(named[name]).to(named[name]))
    return bool((subject.scores(model, inputs, purpose="graph") != before).any())
