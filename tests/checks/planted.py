"""Run one check on one model."""

from __future__ import annotations

import linecache
from pathlib import Path
from typing import Any

import pytest_logits
from pytest_logits.finding import Result


def result_of(check: str, model: Any, **arguments: Any) -> Result:
    """The result of one check; ten flat features and two classes unless said otherwise."""
    defaults: dict[str, Any] = {"name": "planted", "num_classes": 2}
    if "inputs" not in arguments:
        defaults["input_shape"] = (10,)
    (result,) = pytest_logits.check_classifier(model, select=[check], **{**defaults, **arguments})
    return result


def found(result: Result) -> tuple[str, str | None]:
    """The outcome with its cause, to compare with what was planted."""
    return result.outcome, result.verdict.cause


def blamed(result: Result) -> str:
    """The source line that a finding names, "" where it names none. Planted lines end with ``# FAULT``."""
    place = result.verdict.location
    return "" if place is None else linecache.getline(str(Path.cwd() / place.file), place.line).rstrip()
