"""The checks and causes in words, for ``--logit-list`` and ``--logit-explain``."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterable, Mapping

import pytest

from pytest_logits.causes import cause, cause_names
from pytest_logits.check_registry import Check, all_checks
from pytest_logits.told import nearest

# Narrower than this, names alone fill the line; longer lines are hard to read.
NARROWEST, WIDEST = 72, 120


def listing(width: int | None = None) -> str:
    """A line for each check, by its first tag, and for each cause, by the first tag of the check that finds it.

    What does not fit in ``width`` columns, by default the terminal's, is cut off.
    """
    columns = _columns(width)
    checks = all_checks()
    claims: dict[str, dict[str, str]] = {}
    for check in checks:
        claims.setdefault(check.tags[0], {})[check.name] = check.claim
    found = {name: check.tags[0] for check in reversed(checks) for name in check.causes}
    summaries: dict[str, dict[str, str]] = {tag: {} for tag in claims}
    for name in cause_names():
        summaries.setdefault(found.get(name, "others"), {})[name] = cause(name).summary
    tags = list(dict.fromkeys(tag for check in checks for tag in check.tags))
    example = checks[0].name
    return "\n".join(
        [
            "Checks, by their first tag: what each holds of every sound classifier",
            *_groups(claims, columns),
            "",
            "Causes a finding can name, by the checks that find them",
            *_groups(summaries, columns),
            "",
            "Read one in full:    pytest --logit-explain " + example,
            "Run some of them:    pytest --logit-checks --logit-select=" + tags[0],
            "Leave some out:      pytest --logit-checks --logit-ignore=" + tags[-1],
            *_wrapped(f"Both options take names and tags, separated by commas. Tags: {', '.join(tags)}.", columns),
        ]
    )


def explain(name: str, width: int | None = None) -> str:
    """The page of a check or cause, or the checks of a tag, and how to go on.

    Raises:
        pytest.UsageError: there is none of this name; the nearest is named.
    """
    columns = _columns(width)
    checks = {c.name: c for c in all_checks()}
    tags = list(dict.fromkeys(tag for check in checks.values() for tag in check.tags))
    if name in checks:
        return _check_page(checks[name], columns)
    if name in cause_names():
        return _cause_page(name, checks.values(), columns)
    if name in tags:
        claims = {c.name: c.claim for c in checks.values() if name in c.tags}
        more = ["", f"Run them:  pytest --logit-checks --logit-select={name}"]
        return "\n".join([f"{name} (tag)", *_rows(claims, columns), *more])
    raise pytest.UsageError(
        f"--logit-explain {name}: no such check or cause; {nearest(name, [*checks, *cause_names(), *tags])} "
        "All of them: pytest --logit-list"
    )


def _check_page(check: Check, columns: int) -> str:
    more = [f"Run it:       pytest --logit-checks --logit-select={check.name}"]
    if check.causes:
        more.append(f"Read on:      pytest --logit-explain {check.causes[0]}")
    return "\n".join(
        [
            f"{check.name} (check)",
            *_wrapped(f"claims that {check.claim}", columns),
            f"tags: {', '.join(check.tags)}",
            "",
            *_wrapped(check.doc, columns),
            "",
            *more,
        ]
    )


def _cause_page(name: str, checks: Iterable[Check], columns: int) -> str:
    finders = [check.name for check in checks if name in check.causes]
    more = ["", *_wrapped(f"Found by: {', '.join(finders)}.", columns)] if finders else []
    more += ["", f"Look for it:  pytest --logit-checks --logit-select={finders[0]}"] if finders else []
    return "\n".join([f"{name} (cause)", "", *_wrapped(cause(name).page, columns), *more])


def _columns(width: int | None) -> int:
    """As wide as the terminal, within what can be read."""
    found = shutil.get_terminal_size().columns if width is None else width
    return min(max(found, NARROWEST), WIDEST)


def _groups(groups: Mapping[str, Mapping[str, str]], columns: int) -> list[str]:
    lines = []
    for tag, texts in groups.items():
        if texts:
            lines += ["", tag, *_rows(texts, columns)]
    return lines


def _rows(texts: Mapping[str, str], columns: int) -> list[str]:
    """Name and text in two columns, one line each."""
    first = max(map(len, texts)) + 4
    return [
        f"  {name:<{first - 2}}{textwrap.shorten(text, max(columns - first, 12), placeholder=' ...')}"
        for name, text in texts.items()
    ]


def _wrapped(text: str, columns: int) -> list[str]:
    """The paragraphs and list items of a page in ``columns`` columns; code, which is indented, as it is."""
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        lines += [""] if lines else []
        if paragraph.lstrip("\n").startswith(" "):
            lines += paragraph.splitlines()
            continue
        for item in re.split(r"\n(?=- )", paragraph):
            lines += textwrap.wrap(
                " ".join(item.split()),
                columns,
                subsequent_indent="  " if item.startswith("- ") else "",
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines
