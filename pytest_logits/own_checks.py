"""Checks of the user's own: ``@pytest_logits.check`` in a conftest.py or a plugin. Imports no torch."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pytest_logits.causes import cause_names
from pytest_logits.check_registry import GROUPS, Check, add, known_check
from pytest_logits.model import RegistrationError, builtin_check_names

F = TypeVar("F", bound=Callable[..., Any])
WORD = re.compile(r"[A-Za-z][A-Za-z0-9_\-]*")


def check(*, claim: str, tags: str | Sequence[str] = ("own",)) -> Callable[[F], F]:
    """Declare a check of your own, which then takes part like those that ship. A decorator.

    It becomes an item of every registered model, and the options, the reports and ``expected_failures`` know it by
    its name. Declare it where it is known before tests are collected: in the conftest.py of the folder that pytest is
    started in or given, in a plugin, or in a module of the ini option ``logit_models``.

    The decorated function takes a :class:`pytest_logits.Classifier`. Its name is the check's, its docstring the page
    that ``--logit-explain`` prints. It says what it found by one of these:

    - a plain ``assert``: where it fails the check has failed, with the assertion's text;
    - ``return pytest_logits.passed(...)``, ``failed``, ``advice``, ``inconclusive`` or ``not_applicable``;
    - no return value, where every assertion holds: the check has passed.

    An exception of the model's, also an ``AssertionError``, is an error and no verdict.

    Args:
        claim: what the check claims of every sound classifier, as in "the logits sum to zero".
        tags: words that ``--logit-select`` and ``--logit-ignore`` take beside the name.

    Raises:
        RegistrationError: the name is that of a check that ships, of a cause or a group, or is taken; claim or tags
            are missing; the function does not take exactly one argument.
    """

    def declare(function: F) -> F:
        code = inspect.unwrap(function).__code__
        name, file, line = function.__name__, Path(code.co_filename).resolve(), code.co_firstlineno
        words = (tags,) if isinstance(tags, str) else tuple(tags)
        problem = _problem(function, name, claim, words) or _taken(name, file, line)
        if problem:
            raise RegistrationError(f"cannot declare check {name!r} ({file}:{line}): {problem}")
        doc = inspect.cleandoc(function.__doc__ or "").strip() or f"{claim[0].upper()}{claim[1:]}."
        add(Check(name=name, claim=claim, tags=words, function=function, doc=doc, declared=(file, line)))
        return function

    return declare


def _problem(function: Callable[..., Any], name: str, claim: Any, tags: tuple[Any, ...]) -> str:
    """What is wrong with the declaration in itself; nothing where it is right."""
    if name in builtin_check_names():
        return "a check that ships has this name; give the function another"
    if name in (*cause_names(), *GROUPS) or not WORD.fullmatch(name):
        return "the name must be a word that is neither a cause nor a tag; give the function another"
    if not isinstance(claim, str) or not claim.strip():
        return "claim= must say in words what holds for every sound classifier"
    if not tags or any(not isinstance(tag, str) or not WORD.fullmatch(tag) for tag in tags):
        return f"tags= must be words, such as ('own',); got {tags!r}"
    clashes = [tag for tag in tags if tag in builtin_check_names()]
    if clashes:
        return f"the tag {clashes[0]!r} is the name of a check; choose another"
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return "the function must take one argument, the classifier"
    return ""


def _taken(name: str, file: Path, line: int) -> str:
    """Whether another function has this name. The same one again, of a module imported twice, replaces."""
    known = known_check(name)
    if known is None or known.declared in (None, (file, line)):
        return ""
    where, at = known.declared
    return f"the name is taken by {where}:{at}; give the function another"
