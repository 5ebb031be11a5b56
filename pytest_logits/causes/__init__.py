"""The causes a finding can name, one file each: the file's name is the cause, its docstring the page, FIX the fix."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cause:
    """A named mistake: one line of what it is, what to change, and its page."""

    name: str
    summary: str
    fix: str
    page: str


def cause_names() -> list[str]:
    """All causes, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def cause(name: str) -> Cause:
    """The cause of this name.

    Raises:
        KeyError: there is none.
    """
    if name not in cause_names():
        raise KeyError(name)
    module = importlib.import_module(f"{__name__}.{name}")
    page = inspect.cleandoc(module.__doc__ or "")
    return Cause(name=name, summary=page.splitlines()[0], fix=module.FIX, page=page)
