"""Where the user's code runs: tensors go to the device before it, and what it returns comes back after.

The numbers of the checks themselves are on the CPU, drawn there, so that they are the same whatever the device.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from pytest_logits.structures import mapped
from pytest_logits.told import LONGEST, shown

CPU = torch.device("cpu")


def device_of(text: str) -> torch.device:
    """The device that ``--logit-device`` names.

    Raises:
        ValueError: there is no such device here, or it cannot hold what the checks compute.
    """
    try:
        device = torch.device(text)
        # A device that holds no numbers, or none of double precision, is of no use.
        torch.ones(2, dtype=torch.float64).to(device).sum().item()
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        said = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise ValueError(f"{shown(text)} cannot be used here: {said[:LONGEST]}") from None
    return device


def placed(held: Any, device: torch.device) -> Any:
    """The same tensor, tuple, list, mapping or dataclass with every tensor on the device, gradients included."""
    return mapped(held, lambda tensor: tensor.to(device))


def running_on(device: torch.device, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` of tensors on the CPU, which sees them on the device; a module's copy is there too."""
    if device == CPU:
        return function
    if isinstance(function, nn.Module):
        function = copy.deepcopy(function).to(device)
    return lambda *given: placed(function(*placed(given, device)), CPU)


def full_precision(device: torch.device) -> AbstractContextManager[None]:
    """Convolutions and matrix products of float32 in float32: TF32 keeps 10 of the 23 bits that tolerances count on."""
    return _without_tf32() if device.type == "cuda" else nullcontext()


@contextmanager
def _without_tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
