"""The tests of the strategies lend their fixtures."""

from __future__ import annotations

from tests.strategies.conftest import minimal, one_thread

__all__ = ["minimal", "one_thread"]
