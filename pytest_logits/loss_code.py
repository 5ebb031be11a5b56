"""What the user's code of a loss says of it: names, numbers, source. It tells what is meant, never what is right."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from torch import nn


def name_of(loss: Any) -> str:
    """How a loss is called in a sentence."""
    function = getattr(loss, "func", loss)
    return str(getattr(function, "__name__", None) or type(function).__name__)


def source_of(loss: Any) -> str:
    """The source of a loss, "" where it has none."""
    function = getattr(loss, "func", loss)
    try:
        return inspect.getsource(type(function) if isinstance(function, nn.Module) else inspect.unwrap(function))
    except (OSError, TypeError):
        return ""


def first_argument(loss: Any) -> str:
    """The name of the argument that the scores are passed as, in lower case; "" where it has none."""
    try:
        parameters = inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss).parameters
    except (TypeError, ValueError):
        return ""
    return next(iter(parameters), "").lower()


def named_numbers(loss: Any) -> dict[str, float]:
    """Numbers that a loss is made with: attributes of a module, keywords of a partial, defaults of a function."""
    if isinstance(loss, nn.Module):
        return {name: value for name, value in vars(loss).items() if _is_number(value)}
    given: dict[str, Any] = {}
    while isinstance(loss, partial):
        given = {**loss.keywords, **given}
        loss = loss.func
    try:
        parameters = tuple(inspect.signature(loss).parameters.values())
    except (TypeError, ValueError):
        parameters = ()
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    own = defaults if getattr(loss, "__module__", "").partition(".")[0] != "torch" else {}
    return {name: value for name, value in {**own, **given}.items() if _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
