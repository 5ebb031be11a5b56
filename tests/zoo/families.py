"""The whole zoo, and how a model of it is run."""

from __future__ import annotations

import re
import warnings

import pytest_logits
from pytest_logits.causes import cause_names
from pytest_logits.check_registry import all_checks
from pytest_logits.finding import Result
from tests.zoo import (
    activations,
    independence,
    learning,
    losses,
    normalised,
    pairings,
    predictions,
    several,
    shapes,
    targets,
    traps,
)
from tests.zoo.entry import Fault, Trap

FAMILIES = (normalised, activations, pairings, shapes, independence, predictions, targets, losses, learning, several)
FAULTS: tuple[Fault, ...] = tuple(fault for family in FAMILIES for fault in family.FAULTS)
TRAPS: tuple[Trap, ...] = traps.TRAPS


# Checks of the classes' chances, the training step, the user's data and a framework's loss: their faults are in their
# own tests.
ELSEWHERE = (
    "no_class_is_privileged",
    "training_step_trains",
    "labels_fit_classes",
    "inputs_are_scaled",
    "own_loss_is_the_registered_one",
)
# The causes that the other checks name: those that the zoo has models of.
CAUSES = tuple(
    name
    for name in cause_names()
    if any(re.search(rf"\b{name}\b", check.doc) for check in all_checks() if check.name not in ELSEWHERE)
)

_RUNS: dict[str, list[Result]] = {}


def run(model: Fault | Trap, seed: int = 0) -> list[Result]:
    """All checks on one model, in the order of the report. Run once, however many tests look at it."""
    key = repr((model.name, model.factory, sorted(model.arguments.items()), seed))
    if key not in _RUNS:
        with warnings.catch_warnings():
            # torch warns of the models that leave dim= out.
            warnings.filterwarnings("ignore", message="Implicit dimension choice")
            report = pytest_logits.check_classifier(model.factory, name=model.name, seed=seed, **model.arguments)
        _RUNS[key] = list(report)
    return _RUNS[key]
