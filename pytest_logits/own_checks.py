"""Checks of the user's own: ``@pytest_logits.check`` in a conftest.py or a plugin. Imports no torch."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pytest_logits.causes import cause_names
from pytest_logits.check_registry import GROUPS, Check, add, known_check
from pytest_logits.model import RegistrationError, builtin_check_names, caller
from pytest_logits.told import kind, nearest, shown

# pytest leaves the frames of this module out: a mistake is told at the user's own line.
__tracebackhide__ = True

F = TypeVar("F", bound=Callable[..., Any])
WORD = re.compile(r"[A-Za-z][A-Za-z0-9_\-]*")


def check(
    function: None = None, /, *, claim: str = "", tags: str | Sequence[str] = ("own",), **unknown: NoReturn
) -> Callable[[F], F]:
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
            are missing; the function does not take exactly one argument. It has the file and line.
    """
    words: Any = (tags,) if isinstance(tags, str) else tags
    problem = _wrong_arguments(function, claim, words, unknown)
    if problem:
        file, line = caller(1)
        raise RegistrationError(f"cannot declare a check ({file}:{line}): {problem}")

    def declare(function: F) -> F:
        code = getattr(_unwrapped(function), "__code__", None)
        if code is None:
            file, line = caller(1)
            raise RegistrationError(
                f"cannot declare a check ({file}:{line}): it must be a function; got {kind(function)}"
            )
        name, file, line = function.__name__, Path(code.co_filename).resolve(), code.co_firstlineno
        problem = _problem(function, name) or _taken(name, file, line)
        if problem:
            raise RegistrationError(f"cannot declare check {name!r} ({file}:{line}): {problem}")
        doc = inspect.cleandoc(function.__doc__ or "").strip() or f"{claim[0].upper()}{claim[1:]}."
        add(Check(name=name, claim=claim, tags=tuple(words), function=function, doc=doc, declared=(file, line)))
        return function

    return declare


def _wrong_arguments(function: Any, claim: Any, tags: Any, unknown: Mapping[str, Any]) -> str:
    """What is wrong with the arguments of :func:`check`; nothing where they are right."""
    if function is not None:
        return "write it with parentheses and a claim: @pytest_logits.check(claim='...')"
    for name in unknown:
        return f"unknown argument {shown(name)}; {nearest(name, ('claim', 'tags'))}"
    if not isinstance(claim, str) or not claim.strip():
        return "claim= must say in words what holds for every sound classifier"
    if (
        not isinstance(tags, tuple | list)
        or not tags
        or any(not isinstance(tag, str) or not WORD.fullmatch(tag) for tag in tags)
    ):
        return f"tags= must be words, such as ('own',); got {kind(tags)}"
    clashes = [tag for tag in tags if tag in builtin_check_names()]
    return f"the tag {clashes[0]!r} is the name of a check; choose another" if clashes else ""


def _unwrapped(function: Any) -> Any:
    try:
        return inspect.unwrap(function)
    except ValueError:
        # It wraps itself.
        return None


def _problem(function: Callable[..., Any], name: str) -> str:
    """What is wrong with the function in itself; nothing where it is right."""
    if name in builtin_check_names():
        return "a check that ships has this name; give the function another"
    if name in (*cause_names(), *GROUPS) or not WORD.fullmatch(name):
        return "the name must be a word that is neither a cause nor a tag; give the function another"
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
