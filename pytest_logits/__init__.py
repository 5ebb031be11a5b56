"""Property-based checks for PyTorch classifiers: ``pytest --logit-checks``. See README.md.

Public names are loaded when they are first used: pytest imports this package in every run where it is installed. Using
``register`` imports neither torch nor hypothesis, so a conftest.py may register models at no cost to other runs.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_logits.api import ChecksFailed, Report, check_classifier, check_loss
    from pytest_logits.classifier import Classifier
    from pytest_logits.finding import LogitFailure, Verdict, advice, failed, inconclusive, not_applicable, passed
    from pytest_logits.model import RegistrationError
    from pytest_logits.model_registry import register, register_loss
    from pytest_logits.own_checks import check
    from pytest_logits.parametrize import parametrize_with_checks

__all__ = [
    "ChecksFailed",
    "Classifier",
    "LogitFailure",
    "RegistrationError",
    "Report",
    "Verdict",
    "__version__",
    "advice",
    "check",
    "check_classifier",
    "check_loss",
    "failed",
    "inconclusive",
    "not_applicable",
    "parametrize_with_checks",
    "passed",
    "register",
    "register_loss",
]

_HOMES = {
    "ChecksFailed": "api",
    "Classifier": "classifier",
    "LogitFailure": "finding",
    "RegistrationError": "model",
    "Report": "api",
    "Verdict": "finding",
    "advice": "finding",
    "check": "own_checks",
    "check_classifier": "api",
    "check_loss": "api",
    "failed": "finding",
    "inconclusive": "finding",
    "not_applicable": "finding",
    "parametrize_with_checks": "parametrize",
    "passed": "finding",
    "register": "model_registry",
    "register_loss": "model_registry",
}

# In a checkout the strategies lie beside this folder; an installed wheel has them in it.
if not (Path(__file__).parent / "strategies").is_dir():
    __path__.append(str(Path(__file__).parent.parent))


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("pytest-logits")
    if name in _HOMES:
        return getattr(importlib.import_module(f"pytest_logits.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'pytest_logits' has no attribute {name!r}")
