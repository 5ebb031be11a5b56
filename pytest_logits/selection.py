"""Which checks run: by name or tag, and an unknown word is an error that names the nearest one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_logits.check_registry import Check, all_checks
from pytest_logits.told import nearest, shown

__tracebackhide__ = True


def selected_checks(*, select: Iterable[str] = (), ignore: Iterable[str] = ()) -> tuple[Check, ...]:
    """All checks, or those whose name or a tag is in ``select``, less those whose name or a tag is in ``ignore``.

    Raises:
        ValueError: a word is neither a check's name nor a tag; begins with the argument it stands in.
    """
    wanted, unwanted = _words("select", select), _words("ignore", ignore)
    checks = all_checks()
    known = [c.name for c in checks] + sorted({tag for c in checks for tag in c.tags})
    for option, words in (("select", wanted), ("ignore", unwanted)):
        for word in words:
            if word not in known:
                raise ValueError(f"{option}: {shown(word)} is neither a check nor a tag; {nearest(word, known)}")
    return tuple(c for c in checks if (not wanted or _named(c, wanted)) and not _named(c, unwanted))


def _words(option: str, given: Any) -> list[str]:
    if isinstance(given, Iterable) and not isinstance(given, str | bytes):
        words = list(given)
        if all(isinstance(word, str) for word in words):
            return words
    example = shown([given]) if isinstance(given, str) else "['outputs']"
    raise ValueError(f"{option}={shown(given)} must be a list of names and tags, such as {example}")


def _named(check: Check, words: list[str]) -> bool:
    return check.name in words or any(tag in words for tag in check.tags)
