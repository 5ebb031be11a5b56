"""The checks and causes in words, for ``--logit-list`` and ``--logit-explain``."""

from __future__ import annotations

import pytest

from pytest_logits.causes import cause, cause_names
from pytest_logits.check_registry import all_checks
from pytest_logits.told import nearest


def listing() -> str:
    """A line for each check and each cause."""
    checks = all_checks()
    rows = [f"  {c.name:<34}{', '.join(c.tags):<18}{c.claim}" for c in checks]
    causes = [f"  {name:<38}{cause(name).summary}" for name in cause_names()]
    return "\n".join(["checks (name, tags, claim):", *rows, "", "causes a finding can name:", *causes])


def explain(name: str) -> str:
    """The page of a check or cause.

    Raises:
        pytest.UsageError: there is none of this name; the nearest is named.
    """
    checks = {c.name: c for c in all_checks()}
    if name in checks:
        return f"{name} (check)\nclaims that {checks[name].claim}\n\n{checks[name].doc}"
    if name in cause_names():
        return f"{name} (cause)\n\n{cause(name).page}"
    raise pytest.UsageError(
        f"--logit-explain {name}: no such check or cause; {nearest(name, [*checks, *cause_names()])}"
    )
