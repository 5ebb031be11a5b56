"""The checks: a check declares itself with ``@check``, and is found by its file. There is no central list."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pytest_logits.finding import Verdict
from pytest_logits.model import builtin_check_names

# A check of losses is given the model whose loss it is, or a loss that is registered by itself.
CheckFunction = Callable[[Any], Verdict]
SubjectKind = Literal["model", "loss"]
# First tags, in the order in which checks run.
GROUPS = ("outputs", "loss", "learning", "data")


@dataclass(frozen=True, kw_only=True)
class Check:
    """A property: its name, the claim it makes of every sound classifier, its tags, and the function that decides."""

    name: str
    claim: str
    tags: tuple[str, ...]
    # One that ships is a CheckFunction; one of the user's own takes a Classifier and may return None.
    function: Callable[..., Any]
    doc: str
    root: bool = False
    subjects: tuple[SubjectKind, ...] = ("model",)
    # File and line of a check of the user's own; None for those that ship.
    declared: tuple[Path, int] | None = None
    # The argument of the registration without which there is nothing to look at.
    needs: str | None = None

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.doc.splitlines()[0]

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes that the page says it finds, in its sentence "Causes: ..."."""
        sentence = re.search(r"Causes: ([^.]+)\.", self.doc)
        return tuple(re.findall(r"[a-z]+(?:_[a-z]+)+", sentence[1])) if sentence else ()


_checks: dict[str, Check] = {}


def check(
    *,
    claim: str,
    tags: tuple[str, ...],
    root: bool = False,
    subjects: tuple[SubjectKind, ...] = ("model",),
    needs: str | None = None,
) -> Callable[[CheckFunction], CheckFunction]:
    """Declare the decorated ``(subject) -> Verdict`` a check. Its name is the function's, its docstring its page.

    What a ``root`` check finds explains what others then see, so it comes first in its tag. ``subjects`` says what it
    can look at: models, or also losses that are registered by themselves. Where the argument that it ``needs`` is not
    registered, it does not apply, and is not asked.
    """

    def declare(function: CheckFunction) -> CheckFunction:
        name = function.__name__
        doc = inspect.cleandoc(function.__doc__ or "").strip()
        if not doc:
            raise ValueError(f"check {name!r} has no docstring; it is the check's page")
        if not claim or not tags:
            raise ValueError(f"check {name!r} needs a claim and at least one tag")
        made = Check(
            name=name, claim=claim, tags=tags, function=function, doc=doc, root=root, subjects=subjects, needs=needs
        )
        add(made)
        return function

    return declare


def add(check: Check) -> None:
    """Add one check, or replace the one of its name."""
    _checks[check.name] = check


def known_check(name: str) -> Check | None:
    """The check of this name, where it has been declared."""
    return _checks.get(name)


@contextmanager
def isolated() -> Iterator[None]:
    """Forget at the end what was declared inside the block. For tests, and for sessions inside a session."""
    before = dict(_checks)
    try:
        yield
    finally:
        _checks.clear()
        _checks.update(before)


def all_checks() -> tuple[Check, ...]:
    """Every check, in the order of first tags, outputs, loss, learning, data; in each the roots first, then by name."""
    for name in builtin_check_names():
        importlib.import_module(f"pytest_logits.checks.{name}")
    return tuple(
        sorted(
            _checks.values(),
            key=lambda c: (GROUPS.index(c.tags[0]) if c.tags[0] in GROUPS else len(GROUPS), not c.root, c.name),
        )
    )
