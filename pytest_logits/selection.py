"""Which checks run: by name or tag, and an unknown word is an error that names the nearest one."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_logits.check_registry import Check, all_checks
from pytest_logits.model import nearest


def selected_checks(*, select: Iterable[str] = (), ignore: Iterable[str] = ()) -> tuple[Check, ...]:
    """All checks, or those whose name or a tag is in ``select``, less those whose name or a tag is in ``ignore``.

    Raises:
        ValueError: a word is neither a check's name nor a tag.
    """
    for option, given in (("select", select), ("ignore", ignore)):
        if isinstance(given, str):
            raise ValueError(f"{option}={given!r} must be a list of names and tags, such as [{given!r}]")
    checks = all_checks()
    known = [c.name for c in checks] + sorted({tag for c in checks for tag in c.tags})
    wanted, unwanted = list(select), list(ignore)
    for word in [*wanted, *unwanted]:
        if word not in known:
            raise ValueError(f"{word!r} is neither a check nor a tag; {nearest(word, known)}")
    return tuple(c for c in checks if (not wanted or _named(c, wanted)) and not _named(c, unwanted))


def _named(check: Check, words: list[str]) -> bool:
    return check.name in words or any(tag in words for tag in check.tags)
