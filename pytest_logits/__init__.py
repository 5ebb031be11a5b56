"""Property-based checks for PyTorch classifiers: ``pytest --logit-checks``. See README.md.

Importing this package imports neither torch nor hypothesis: a conftest.py may register models at no cost to runs
without ``--logit-checks``.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_logits.model import RegistrationError
from pytest_logits.model_registry import register

if TYPE_CHECKING:
    from pytest_logits.api import check_classifier

__all__ = ["RegistrationError", "__version__", "check_classifier", "register"]

# In a checkout the strategies lie beside this folder; an installed wheel has them in it.
if not (Path(__file__).parent / "strategies").is_dir():
    __path__.append(str(Path(__file__).parent.parent))


def __getattr__(name: str) -> Any:
    if name == "check_classifier":
        from pytest_logits.api import check_classifier

        return check_classifier
    if name == "__version__":
        return metadata.version("pytest-logits")
    raise AttributeError(f"module 'pytest_logits' has no attribute {name!r}")
