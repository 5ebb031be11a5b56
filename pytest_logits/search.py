"""Hypothesis as a search: the smallest drawn value for which something goes wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, Phase, Verbosity, find, settings
from hypothesis.errors import NoSuchExample, Unsatisfiable
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")


def smallest(strategy: SearchStrategy[T], goes_wrong: Callable[[T], bool], *, seed: int, examples: int) -> T | None:
    """The smallest value of ``strategy`` for which ``goes_wrong``, or None if none of ``examples`` drawn ones does.

    Deterministic for a seed; reads and writes no example database; never fails for being slow.
    """
    try:
        return find(
            strategy,
            goes_wrong,
            settings=settings(
                max_examples=examples,
                database=None,
                deadline=None,
                derandomize=False,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
                verbosity=Verbosity.quiet,
            ),
            random=random.Random(seed),
        )
    except (NoSuchExample, Unsatisfiable):
        return None
