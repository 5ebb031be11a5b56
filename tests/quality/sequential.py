"""Wald's sequential test: whether a strategy finds what it promises, in as few sessions as decide it."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import hypothesis
from hypothesis.errors import NoSuchExample

# A session is what a user's test draws by default.
EXAMPLES = 100
# Held against each other: sessions that find it half of the time, which breaks the promise, and those that nearly
# always do. Each is taken for the other with probability at most ERROR.
BROKEN, KEPT, ERROR = 0.5, 0.95, 1e-3
DECIDED = math.log((1 - ERROR) / ERROR)


def keeps_promise(strategy: hypothesis.strategies.SearchStrategy[Any], hard: Callable[[Any], bool]) -> bool:
    """Whether sessions of 100 drawn examples hold one that is ``hard``; 11 sessions decide it if all do."""
    evidence, session = 0.0, 0
    while abs(evidence) < DECIDED:
        found = _finds(strategy, hard, seed=session)
        evidence += math.log(KEPT / BROKEN) if found else math.log((1 - KEPT) / (1 - BROKEN))
        session += 1
    return evidence > 0


def _finds(strategy: hypothesis.strategies.SearchStrategy[Any], hard: Callable[[Any], bool], *, seed: int) -> bool:
    quiet = hypothesis.settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate,),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    try:
        hypothesis.find(strategy, hard, settings=quiet, random=Random(seed))
    except NoSuchExample:
        return False
    return True
