"""Drawn objects as the code that makes them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


def call_of(made: Any) -> str:
    """The call of a dataclass that makes ``made``, without the arguments that are at their defaults."""
    given = [(field.name, getattr(made, field.name), field.default) for field in fields(made)]
    return f"{type(made).__name__}({', '.join(f'{name}={value!r}' for name, value, usual in given if value != usual)})"
