"""Hypothesis as a search: the smallest drawn value for which something goes wrong."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, Verbosity, find, settings
from hypothesis._settings import local_settings
from hypothesis.errors import NoSuchExample, Unsatisfiable
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")


_remembered: dict[str, Any] = {}


@contextmanager
def _without_local_constants() -> Iterator[None]:
    """Keep Hypothesis from drawing numbers that it finds in the source of the loaded modules.

    A verdict must not depend on what else the user's session has imported, nor write Hypothesis' cache of those
    numbers into the user's folder. What Hypothesis remembers of them is kept apart too: a test of the user's own may
    have drawn from the same range before, or do so later. Versions that do none of it have nothing to turn off.
    """
    try:
        providers: Any = importlib.import_module("hypothesis.internal.conjecture.providers")
    except ImportError:
        providers = None
    original = getattr(providers, "_get_local_constants", None)
    if original is None:
        yield
        return
    nothing = providers.Constants()
    remembered = getattr(providers, "CONSTANTS_CACHE", None)
    providers._get_local_constants = lambda: nothing
    if remembered is not None:
        providers.CONSTANTS_CACHE = _remembered.setdefault("constants", type(remembered)(remembered.max_size))
    try:
        yield
    finally:
        providers._get_local_constants = original
        if remembered is not None:
            providers.CONSTANTS_CACHE = remembered


def smallest(
    strategy: Callable[[], SearchStrategy[T]],
    goes_wrong: Callable[[T], bool],
    *,
    seed: int,
    examples: int,
    screen: Iterable[T] | None = None,
    plain: Iterable[T] = (),
) -> T | None:
    """The smallest value of ``strategy()`` for which ``goes_wrong``, or None if none of ``examples`` drawn ones does.

    Deterministic for a seed; reads and writes no example database; never fails for being slow. With ``screen`` nothing
    is searched, and no strategy made, unless one of its values goes wrong. That is the answer where the search finds
    none. Nor is anything searched where one of the ``plain`` values goes wrong, of which the first is the answer: those
    that the search would come to, the smallest first. To draw and shrink took 79 times as long (87 losses).
    """
    wrong = None
    if screen is not None:
        wrong = next((value for value in screen if goes_wrong(value)), None)
        if wrong is None:
            return None
    for value in plain:
        if goes_wrong(value):
            return value
    quiet = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    # Hypothesis leaves what it has called, and with it the models of a search for nothing, to the garbage collector.
    held = [goes_wrong]
    try:
        # Inside a test of the user's own, Hypothesis reads the settings of that test for whether it may be nested.
        with _without_local_constants(), local_settings(quiet):
            return find(strategy(), lambda value: held[0](value), settings=quiet, random=random.Random(seed))
    except (NoSuchExample, Unsatisfiable):
        return wrong
    finally:
        held.clear()
