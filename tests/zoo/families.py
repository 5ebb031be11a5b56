"""The whole zoo, and how a model of it is run."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import pytest

import pytest_logits
from pytest_logits.causes import cause_names
from pytest_logits.finding import Result
from tests.zoo import (
    activations,
    batches,
    chances,
    in_place,
    independence,
    learning,
    losses,
    normalised,
    pairings,
    predictions,
    several,
    shapes,
    step_losses,
    steps,
    targets,
    traps,
)
from tests.zoo.entry import Fault, Trap

FAMILIES = (
    normalised,
    activations,
    pairings,
    shapes,
    independence,
    in_place,
    predictions,
    targets,
    losses,
    chances,
    learning,
    steps,
    step_losses,
    batches,
    several,
)
FAULTS: tuple[Fault, ...] = tuple(fault for family in FAMILIES for fault in family.FAULTS)
TRAPS: tuple[Trap, ...] = (
    *traps.TRAPS,
    *in_place.TRAPS,
    *losses.TRAPS,
    *learning.TRAPS,
    *steps.TRAPS,
    *step_losses.TRAPS,
    *batches.TRAPS,
)


CAUSES = tuple(cause_names())

_RUNS: dict[str, list[Result]] = {}


def _key(model: Fault | Trap, seed: int = 0) -> str:
    return repr((model.name, model.factory, sorted(model.arguments.items()), seed))


def looks_at(model: Fault | Trap) -> pytest.MarkDecorator:
    """Marks a test that looks at the model's run; see conftest.py."""
    return pytest.mark.looks_at(_key(model))


def run(model: Fault | Trap, seed: int = 0) -> list[Result]:
    """All checks on one model, in the order of the report. Run once, however many tests look at it."""
    key = _key(model, seed)
    if key not in _RUNS:
        _RUNS[key] = run_again(model, seed)
    return _RUNS[key]


def run_again(model: Fault | Trap, seed: int, select: Iterable[str] = ()) -> list[Result]:
    """The same, or only the checks whose names or tags are given, and not kept."""
    with warnings.catch_warnings():
        # torch warns of the models that leave dim= out.
        warnings.filterwarnings("ignore", message="Implicit dimension choice")
        report = pytest_logits.check_classifier(
            model.factory, name=model.name, seed=seed, select=select, **model.arguments
        )
    return list(report)
