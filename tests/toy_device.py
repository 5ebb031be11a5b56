"""A second device where there is no GPU: tensors on "toy" hold theirs on the CPU, and do not mix with those of the CPU.

It stands in for one in tests that no tensor of ours is on the wrong side. Importing it registers it for the process.
The API for backends in Python is torch's own, and experimental; older torch has none.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "toy"
MOVES = ("aten::_to_copy", "aten::copy_", "aten::_copy_from")


class Toy(torch.Tensor):
    """A tensor on the device; ``held`` is the one on the CPU."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor, requires_grad: bool = False) -> Toy:
        made: Toy = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=f"{NAME}:0",
            requires_grad=requires_grad,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(op, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """Tensors that are made on the device, or move to it, have no tensor of it among their arguments."""

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        device = (kwargs or {}).get("device")
        if device is not None and torch.device(device).type == NAME:
            return _run(op, args, kwargs)
        return op(*args, **(kwargs or {}))


def _run(op: Any, args: Any, kwargs: Any) -> Any:
    known: dict[int, Toy] = {}
    strangers = []

    def lower(given: Any) -> Any:
        if isinstance(given, Toy):
            known[id(given.held)] = given
            return given.held
        if isinstance(given, torch.device) and given.type == NAME:
            return torch.device("cpu")
        if isinstance(given, torch.Tensor) and given.ndim:
            strangers.append(given)
        return given

    def lift(made: Any) -> Any:
        if not isinstance(made, torch.Tensor) or isinstance(made, Toy):
            return made
        return known[id(made)] if id(made) in known else Toy(made)

    down_args, down_kwargs = _pytree.tree_map(lower, (args, kwargs))
    if known and strangers and op.name() not in MOVES:
        raise RuntimeError(f"{op.name()}: Expected all tensors to be on the same device, but found {NAME}:0 and cpu")
    made = op(*down_args, **down_kwargs)
    to = kwargs.get("device")
    if op.name() == "aten::_to_copy" and to is not None and torch.device(to).type == "cpu":
        return made
    return _pytree.tree_map(lift, made)


_setup_privateuseone_for_python_backend(NAME)
_Factories().__enter__()
